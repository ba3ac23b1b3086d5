// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// WindowsCache narrows the manager's cache of Nodes to those that run Windows: of others nothing is asked. It
// belongs into cache.Options.ByObject.
func WindowsCache() cache.ByObject {
	return cache.ByObject{Label: labels.SelectorFromSet(labels.Set{corev1.LabelOSStable: string(corev1.Windows)})}
}

// WebhookConfigurationCache narrows the manager's cache of ValidatingWebhookConfigurations to the
// one that is kept here: list and watch can then be granted by that name. It belongs into
// cache.Options.ByObject.
func WebhookConfigurationCache() cache.ByObject {
	return cache.ByObject{
		Field: fields.OneTermEqualSelector("metadata.name", v1alpha1.WebhookConfigurationName),
	}
}
