// SPDX-License-Identifier: Apache-2.0

// Package cluster leads the commands that read a cluster to it, as kubectl would be led.
package cluster

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Connect makes a reader of the cluster that kubectl would speak to, and tells the namespace that it
// would speak of.
func Connect(flags *genericclioptions.ConfigFlags) (client.Reader, string, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w: name a kubeconfig with --kubeconfig", err)
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("find the namespace: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, "", err
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("connect to the cluster: %w", err)
	}
	return reader, cmp.Or(namespace, "default"), nil
}

// NotInstalled says what is to be done if the error is that the cluster does not know a kind of
// Bulkhead's.
func NotInstalled(err error) error {
	if meta.IsNoMatchError(err) {
		return errors.New("this cluster does not know them: install Bulkhead")
	}
	return err
}
