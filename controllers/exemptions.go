// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// exemptions tells of each exemption, in the order of the spec, whether a pod needs it. That one ends
// changes nothing for the pods that it covers: it covers no new ones.
func exemptions(p *v1alpha1.IsolationPolicy, pods []assessed, now time.Time, next *alarm) []v1alpha1.ExemptionStatus {
	needed := make(map[string]int32)
	for i := range pods {
		for _, name := range pods[i].Exempt {
			needed[name]++
		}
	}
	var out []v1alpha1.ExemptionStatus
	for i := range p.Spec.Exemptions {
		e := &p.Spec.Exemptions[i]
		s := v1alpha1.ExemptionStatus{Name: e.Name, State: v1alpha1.ExemptionUnused, Pods: needed[e.Name]}
		if s.Pods > 0 {
			s.State = v1alpha1.ExemptionInUse
		}
		if e.Expires != nil {
			if now.Before(e.Expires.Time) {
				next.set(e.Expires.Time)
			} else {
				s.State = v1alpha1.ExemptionExpired
			}
		}
		out = append(out, s)
	}
	return out
}
