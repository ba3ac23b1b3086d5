// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// askTimeout is how long the author of a policy waits for a warning that the policy's status tells as well.
const askTimeout = time.Second

// mayEvict asks the API server whether the manager may evict.
func mayEvict(c client.Client) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "eviction"},
		}}
		if err := c.Create(ctx, review); err != nil {
			return false, fmt.Errorf("ask whether the manager may evict: %w", err)
		}
		return review.Status.Allowed, nil
	}
}

// unarmed warns the author of a policy that is to evict, if the manager may not.
func (h *policyHandler) unarmed(ctx context.Context, policy *v1alpha1.IsolationPolicy) []string {
	if policy.Spec.Runtime.Action != v1alpha1.Evict {
		return nil
	}
	switch may, err := h.mayEvict(ctx); {
	case err != nil:
		h.log.Error(err, "Nobody was told whether a policy can evict")
	case !may:
		return []string{"spec.runtime.action: the manager may not evict pods, and only reports until config/components/eviction is installed"}
	}
	return nil
}
