// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"io"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// setLogger makes everything log as JSON lines: one record a line, whatever text is in it.
func setLogger(w io.Writer) {
	logger := zap.New(zap.WriteTo(w), zap.JSONEncoder())
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}
