// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// ranks is how many ranks of severity there are, with the one of kinds that are not known.
const ranks = 10

// policy is one policy with the sum of what it says of pods. A policy that does not compile (err) says
// nothing of any.
type policy struct {
	api *v1alpha1.IsolationPolicy
	// place among those that came.
	place    int
	compiled *isolation.Policy
	err      error

	pods     v1alpha1.PodCounts
	findings int32
	// matters is how many findings there are of each.
	matters map[Matter]int32
	// kinds is how many pods have a finding of each rank of severity.
	kinds [ranks]int32
	// exempt is how many pods need each exemption, by its place.
	exempt []int32
	// settled is how many pods count for or against the condition Verified, bad how many against it, hidden
	// those among the bad that nobody can see; young are those that do not count yet, seen how many of them
	// were observed as required.
	settled, bad, hidden, young, seen int32
	// nodes is how many of the pods are on each.
	nodes map[*node]int32
	// breached are the pods that are, if the policy evicts; nil if it does not.
	breached map[*pod]struct{}
	// standing is what was last said of it; nil if that may have changed.
	standing *Standing
}

func newPolicy(api *v1alpha1.IsolationPolicy, place int) *policy {
	p := &policy{api: api, place: place, exempt: make([]int32, len(api.Spec.Exemptions)), nodes: make(map[*node]int32), matters: make(map[Matter]int32)}
	if api.Spec.Runtime.Action == v1alpha1.Evict {
		p.breached = make(map[*pod]struct{})
	}
	p.compiled, p.err = isolation.Compile(api)
	return p
}

// concerns tells whether the policy may speak of pods in a namespace.
func (p *policy) concerns(n *namespace) bool {
	return p.err == nil && p.compiled.MatchesNamespace(n.labels, n.known)
}

// count adds a pod that has this mark to the sums, or takes it off them: by is 1 or -1.
func (p *policy) count(pod *pod, m *mark, by int32) {
	p.standing = nil
	p.pods.Matched += by
	*p.class(m.class) += by
	p.findings += by * int32(m.findings)
	p.addTally(m.tally, by)
	for rank := range p.kinds {
		if m.kinds&(1<<rank) != 0 {
			p.kinds[rank] += by
		}
	}
	for i := range p.exempt {
		if m.exempt&(1<<i) != 0 {
			p.exempt[i] += by
		}
	}
	add(&p.settled, m.counts(), by)
	add(&p.pods.NotApplicable, m.unseeable, by)
	add(&p.bad, m.bad(), by)
	add(&p.hidden, m.bad() && m.unseeable, by)
	add(&p.young, m.young(), by)
	add(&p.seen, m.young() && m.verified, by)
	if p.breached != nil && m.breached() {
		if by > 0 {
			p.breached[pod] = struct{}{}
		} else {
			delete(p.breached, pod)
		}
	}
	if pod.node != nil {
		if p.nodes[pod.node] += by; p.nodes[pod.node] == 0 {
			delete(p.nodes, pod.node)
		}
	}
}

func add(sum *int32, applies bool, by int32) {
	if applies {
		*sum += by
	}
}

// class is the count of a class.
func (p *policy) class(c isolation.Class) *int32 {
	switch c {
	case isolation.Exempt:
		return &p.pods.Exempt
	case isolation.Breached:
		return &p.pods.Breached
	case isolation.Violating:
		return &p.pods.Violating
	case isolation.Compliant:
		return &p.pods.Compliant
	default:
		return &p.pods.Unverified
	}
}

// waitForExemptions has the policy looked at again when one of its exemptions ends.
func (p *policy) waitForExemptions(l *Ledger) {
	for i := range p.api.Spec.Exemptions {
		if e := p.api.Spec.Exemptions[i].Expires; e != nil && l.now.Before(e.Time) {
			l.alarms.at(e.Time, func() { p.standing = nil })
		}
	}
}

// exemptions tells of each exemption, in the order of the spec, whether a pod needs it. That one ends
// changes nothing for the pods that it covers: it covers no new ones.
func (p *policy) exemptions(now time.Time) []v1alpha1.ExemptionStatus {
	var out []v1alpha1.ExemptionStatus
	for i := range p.api.Spec.Exemptions {
		e := &p.api.Spec.Exemptions[i]
		s := v1alpha1.ExemptionStatus{Name: e.Name, State: v1alpha1.ExemptionUnused, Pods: p.exempt[i]}
		if s.Pods > 0 {
			s.State = v1alpha1.ExemptionInUse
		}
		if e.Expires != nil && !now.Before(e.Expires.Time) {
			s.State = v1alpha1.ExemptionExpired
		}
		out = append(out, s)
	}
	return out
}

// countNodes counts each node on which one of the pods is, and an agent could be.
func (p *policy) countNodes() v1alpha1.NodeCounts {
	var n v1alpha1.NodeCounts
	for node := range p.nodes {
		switch node.agent {
		case AgentReporting:
			n.Reporting++
		case AgentNotApplicable:
		default:
			n.Stale++
		}
	}
	return n
}
