// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// serving is who answers the API server's questions, by which policies.
type serving struct {
	// replicas are the ready pods behind the webhook's Service; a nil value has not said lately
	// what it serves.
	replicas map[string]v1alpha1.Served
	webhooks *admissionregistrationv1.ValidatingWebhookConfiguration
	// stale is when the next replica's lease runs out; zero if none does.
	stale time.Time
}

func servingOf(endpoints []discoveryv1.EndpointSlice, leases []coordinationv1.Lease, webhooks *admissionregistrationv1.ValidatingWebhookConfiguration, now time.Time) serving {
	s := serving{replicas: make(map[string]v1alpha1.Served), webhooks: webhooks}
	for i := range endpoints {
		for _, e := range endpoints[i].Endpoints {
			if e.TargetRef != nil && e.Conditions.Ready != nil && *e.Conditions.Ready {
				s.replicas[e.TargetRef.Name] = nil
			}
		}
	}
	for i := range leases {
		l := &leases[i]
		pod, ok := strings.CutPrefix(l.Name, v1alpha1.WebhookLeasePrefix)
		_, ready := s.replicas[pod]
		if !ok || !ready || l.Labels[v1alpha1.LabelLease] != v1alpha1.LeaseWebhook ||
			l.Spec.RenewTime == nil || l.Spec.LeaseDurationSeconds == nil {
			continue
		}
		ends := l.Spec.RenewTime.Add(time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second)
		if !now.Before(ends) {
			continue
		}
		served, err := v1alpha1.ParseServed(l.Annotations[v1alpha1.AnnotationServed])
		if err != nil {
			continue
		}
		s.replicas[pod] = served
		if s.stale.IsZero() || ends.Before(s.stale) {
			s.stale = ends
		}
	}
	return s
}

// enforced is the condition Enforced of a policy. One of the entries of that name in the webhook
// configuration must stand.
func (s *serving) enforced(p *v1alpha1.IsolationPolicy, entries []string) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse}
	configured := slices.ContainsFunc(s.webhooks.Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool {
		return slices.Contains(entries, w.Name) && len(w.ClientConfig.CABundle) > 0
	})
	var behind []string
	for pod, served := range s.replicas {
		if served[p.UID] != p.Generation {
			behind = append(behind, pod)
		}
	}
	slices.Sort(behind)
	switch {
	case len(s.replicas) == 0:
		c.Status = metav1.ConditionUnknown
		c.Reason, c.Message = v1alpha1.ReasonNobodyServes, "no replica behind Service "+v1alpha1.WebhookServiceName+" is ready"
		if p.Spec.Admission.Action == v1alpha1.Deny && configured {
			c.Message += "; the API server refuses every pod that this policy matches"
		}
	case !configured:
		c.Reason = v1alpha1.ReasonNotConfigured
		c.Message = "the API server has not been told to ask: no entry of this policy in ValidatingWebhookConfiguration " + v1alpha1.WebhookConfigurationName
	case len(behind) > 0:
		c.Reason = v1alpha1.ReasonNotServed
		c.Message = fmt.Sprintf("%d of %d replicas do not serve this generation yet: %s", len(behind), len(s.replicas), strings.Join(behind, ", "))
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonServed
		c.Message = fmt.Sprintf("all of %d replicas serve this generation", len(s.replicas))
	}
	return c
}
