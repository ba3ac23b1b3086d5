// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// PodCache says what of each pod the manager's cache keeps. It belongs into
// cache.Options.ByObject: pods are by far the most of what is in memory. What pods of one template have
// in common is kept once, so nobody may write to what the cache holds.
func PodCache() cache.ByObject {
	shared := newPool()
	return cache.ByObject{Transform: func(o any) (any, error) {
		// What the cache missed the end of is wrapped, and on its way out.
		if pod, ok := o.(*corev1.Pod); ok {
			ledger.Strip(pod)
			shared.share(pod)
		}
		return o, nil
	}}
}

// WebhookConfigurationCache narrows the manager's cache of ValidatingWebhookConfigurations to the
// one that is kept here: list and watch can then be granted by that name. It belongs into
// cache.Options.ByObject.
func WebhookConfigurationCache() cache.ByObject {
	return cache.ByObject{
		Field: fields.OneTermEqualSelector("metadata.name", v1alpha1.WebhookConfigurationName),
	}
}
