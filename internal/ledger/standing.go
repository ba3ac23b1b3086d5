// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Standing is what there is to tell of one policy. It is shared, and not to be written to.
type Standing struct {
	// Compiled is the policy; nil if Err says why it is not valid, and then nothing else is known.
	Compiled *isolation.Policy
	Err      error
	Pods     v1alpha1.PodCounts
	Nodes    v1alpha1.NodeCounts
	// Findings are the worst, at most [v1alpha1.MaxPolicyFindings] of FindingsTotal, worst first, then by
	// namespace and name of the pod.
	Findings      []v1alpha1.PolicyFinding
	FindingsTotal int32
	// Matters is how many of them there are of each.
	Matters    map[Matter]int32
	Exemptions []v1alpha1.ExemptionStatus
	// Verified is the condition of that name, without its time and generation.
	Verified metav1.Condition
}

// Standing is what there is to tell of a policy; nil if there is none of this UID. It is the same
// object until something changes.
func (l *Ledger) Standing(uid types.UID) *Standing {
	p := l.policy(uid)
	if p == nil {
		return nil
	}
	if p.standing == nil {
		p.standing = l.stand(p)
	}
	return p.standing
}

func (l *Ledger) stand(p *policy) *Standing {
	if p.err != nil {
		return &Standing{Err: p.err}
	}
	shown := l.worst(p)
	return &Standing{
		Compiled: p.compiled, Pods: p.pods, Nodes: p.countNodes(),
		Findings: l.list(p, &shown), FindingsTotal: p.findings, Matters: maps.Clone(p.matters),
		Exemptions: p.exemptions(l.now), Verified: l.verified(p, &shown),
	}
}

// Of is what a policy says now of one pod: its findings, and whether it matches the pod at all.
func (l *Ledger) Of(policy, pod types.UID) (findings []v1alpha1.PolicyFinding, matched bool) {
	p, of := l.policy(policy), l.pods[pod]
	if p == nil || of == nil {
		return nil, false
	}
	if of.mark(p) == nil {
		return nil, false
	}
	return l.findings(of, p), true
}

// shown are the pods that are told by name.
type shown struct {
	// kinds are pods that have a finding of each rank of severity: as many as may be listed.
	kinds [ranks][]*pod
	// breached, and other, are pods that are held against the condition Verified.
	breached, other []*pod
}

// worst chooses the pods that are told by name, by their order among all pods. It looks no further than
// it must.
func (l *Ledger) worst(p *policy) shown {
	var s shown
	var want [ranks]int
	left, room := 0, v1alpha1.MaxPolicyFindings
	for rank, pods := range p.kinds {
		want[rank] = min(int(pods), room)
		room -= want[rank]
		left += want[rank]
	}
	breached := min(int(p.pods.Breached), named)
	other := min(int(p.bad-p.pods.Breached), named-breached)
	left += breached + other
	for _, pod := range l.inOrder() {
		if left == 0 {
			break
		}
		m := pod.mark(p)
		if m == nil || m.findings == 0 && !m.bad() {
			continue
		}
		for rank := range s.kinds {
			if m.kinds&(1<<rank) != 0 && len(s.kinds[rank]) < want[rank] {
				s.kinds[rank] = append(s.kinds[rank], pod)
				left--
			}
		}
		switch {
		case m.breached() && len(s.breached) < breached:
			s.breached = append(s.breached, pod)
			left--
		case !m.breached() && m.bad() && len(s.other) < other:
			s.other = append(s.other, pod)
			left--
		}
	}
	return s
}

// list makes the findings of those pods, as many as a status may hold.
func (l *Ledger) list(p *policy, s *shown) []v1alpha1.PolicyFinding {
	var out []v1alpha1.PolicyFinding
	for rank, pods := range s.kinds {
		for _, pod := range pods {
			for _, f := range l.findings(pod, p) {
				if isolation.Severity(f.Kind) == rank {
					out = append(out, f)
				}
			}
			if len(out) >= v1alpha1.MaxPolicyFindings {
				return out[:v1alpha1.MaxPolicyFindings]
			}
		}
	}
	return out
}

// mark is what a policy said of the pod; nil if it does not match.
func (p *pod) mark(policy *policy) *mark {
	for i := range p.marks {
		if p.marks[i].policy == policy {
			return &p.marks[i]
		}
	}
	return nil
}
