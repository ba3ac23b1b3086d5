// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// replicaLease is how long a replica is believed to serve after it last said so; it says so three
// times as often.
const replicaLease = v1alpha1.WebhookLeaseSeconds * time.Second

// enforced decides the condition Enforced, by the engine that the policy names. While it goes from one
// engine to the other both stand, and the message says so.
func enforced(in *input, policy *v1alpha1.IsolationPolicy, p *isolation.Policy, asked asked) metav1.Condition {
	whom, g := asked.whom(policy, p), in.Generated[in.name(policy)]
	if p.Engine == v1alpha1.EngineWebhook {
		c := enforcedByWebhook(in, p, whom)
		if g.whole() {
			c.Message += "; until that has settled ValidatingAdmissionPolicy " + g.Policy.Name + " enforces it as well"
		}
		return c
	}
	c := enforcedByAPIServer(in, policy, g)
	switch {
	case !denies(policy) || !whom:
	case in.Products[policy.UID].err != nil:
		c.Message += "; instead, the webhook: " + enforcedByWebhook(in, p, whom).Message
	default:
		c.Message += "; until that has settled the API server asks the webhook as well"
	}
	return c
}

// enforcedByAPIServer: what the policy was compiled to stands as it should, and its types have been
// checked.
func enforcedByAPIServer(in *input, p *v1alpha1.IsolationPolicy, stands generated) metav1.Condition {
	want := in.Products[p.UID]
	name := in.name(p)
	c := metav1.Condition{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotCompiled}
	fault := func(text string) string {
		if want.fault != "" {
			text += ": " + want.fault
		}
		return text
	}
	switch warnings := stands.warnings(); {
	case want.err != nil:
		c.Message = cannot(want.err)
	case !stands.whole():
		c.Message = fault("ValidatingAdmissionPolicy " + name + " and its binding do not both stand yet")
	case !stands.like(want.generated):
		c.Message = fault("ValidatingAdmissionPolicy " + name + " or its binding is not as it should be, and is about to be repaired")
	case !stands.observed():
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonCompiled
		c.Message = "ValidatingAdmissionPolicy " + name + " stands; kube-controller-manager has not checked its types yet"
	case len(warnings) > 0:
		c.Reason = v1alpha1.ReasonTypeWarnings
		c.Message = "the API server warns of ValidatingAdmissionPolicy " + name + ": " + some(warnings)
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonCompiled
		c.Message = "ValidatingAdmissionPolicy " + name + " and its binding stand, and the API server evaluates them itself"
	}
	return c
}

// cannot says why a policy cannot be carried out by the API server itself.
func cannot(err error) string {
	return isolation.Sanitize("engine ValidatingAdmissionPolicy cannot carry this policy out: "+err.Error(), 4096)
}

// enforcedByWebhook: every ready endpoint of the webhook's Service serves this generation of the
// policy, and the API server has been told to ask for it.
func enforcedByWebhook(in *input, p *isolation.Policy, asked bool) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse}
	said, bad := 0, []string(nil)
	for _, e := range in.Endpoints {
		r := in.Replicas[e.Pod]
		if ledger.Fresh(r.Renewed, in.Now, replicaLease) && r.Served != nil {
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
	case !asked:
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
	case !ledger.Fresh(r.Renewed, now, replicaLease):
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

// named is how many replicas or warnings a condition names.
const named = 3

// some joins the first few.
func some(all []string) string {
	if len(all) > named {
		all = append(all[:named:named], fmt.Sprintf("and %d more", len(all)-named))
	}
	return strings.Join(all, "; ")
}
