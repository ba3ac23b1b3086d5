// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// NodeCache says what of each node the manager's cache keeps. It belongs into cache.Options.ByObject. Watches of
// Nodes are then handed a *ledger.Node, and no Node can be got or listed through the cache as if it were whole.
func NodeCache() cache.ByObject {
	return cache.ByObject{Transform: func(o any) (any, error) {
		// What the cache missed the end of is wrapped, and on its way out; and what was kept already may
		// come by again.
		if node, ok := o.(*corev1.Node); ok {
			return ledger.KeepNode(node), nil
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
