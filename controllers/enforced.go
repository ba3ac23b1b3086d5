// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// replicaLease is how long a replica is believed to serve after it last said so; it says so three
// times as often.
const replicaLease = v1alpha1.WebhookLeaseSeconds * time.Second

// enforced decides the condition Enforced: every ready endpoint of the webhook's Service serves this
// generation of the policy, and the API server has been told to ask for it.
func enforced(in *input, p *isolation.Policy, asked asked) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse}
	said, bad := 0, []string(nil)
	for _, e := range in.Endpoints {
		r := in.Replicas[e.Pod]
		if fresh(r.Renewed, in.Now, replicaLease) && r.Served != nil {
			said++
		}
		if why := unserved(&r, p, in.Now); why != "" {
			bad = append(bad, isolation.Sanitize(e.String(), 253)+" "+why)
		}
	}
	total := len(in.Endpoints)
	switch {
	case total == 0:
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes
		c.Message = "nothing is ready behind Service " + v1alpha1.WebhookServiceName
	case said == 0:
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes
		c.Message = fmt.Sprintf("none of %d ready replicas has said what it serves", total)
	case len(bad) > 0:
		c.Reason = v1alpha1.ReasonNotServed
		c.Message = fmt.Sprintf("%d of %d ready replicas serve generation %d: %s", total-len(bad), total, p.Generation, some(bad))
	case !asked.whom(p):
		c.Reason = v1alpha1.ReasonNotConfigured
		c.Message = "ValidatingWebhookConfiguration " + v1alpha1.WebhookConfigurationName + " does not ask for it"
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonServed
		c.Message = fmt.Sprintf("%d of %d ready replicas serve generation %d", total, total, p.Generation)
	}
	return c
}

// unserved is the reason why a replica does not serve this generation; empty if it does.
func unserved(r *replica, p *isolation.Policy, now time.Time) string {
	switch {
	case r.Renewed.IsZero() || r.Served == nil:
		return "has not said what it serves"
	case !fresh(r.Renewed, now, replicaLease):
		return "has been silent since " + r.Renewed.UTC().Format(time.RFC3339)
	}
	generation, ok := r.Served[p.UID]
	switch {
	case !ok:
		return "does not serve it"
	case generation != p.Generation:
		return fmt.Sprintf("serves generation %d", generation)
	default:
		return ""
	}
}

// some joins the first few.
func some(all []string) string {
	if len(all) > named {
		all = append(all[:named:named], fmt.Sprintf("and %d more", len(all)-named))
	}
	return strings.Join(all, "; ")
}
