// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// WebhookConfigurationCache narrows the manager's cache of ValidatingWebhookConfigurations to the
// one that is kept here: list and watch can then be granted by that name. It belongs into
// cache.Options.ByObject.
func WebhookConfigurationCache() cache.ByObject {
	return cache.ByObject{
		Field: fields.OneTermEqualSelector("metadata.name", v1alpha1.WebhookConfigurationName),
	}
}
