// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Assessed is all that one policy says of one pod that it matches.
type Assessed struct {
	Pod    *Pod
	Policy *v1alpha1.IsolationPolicy
	isolation.Assessment
}

// Changed are the namespaces of whose pods policies may say something else than when this was asked last,
// in order. Where a pod merely stays as well as it was, nothing changed.
func (l *Ledger) Changed() []string {
	out := slices.Sorted(maps.Keys(l.changed))
	clear(l.changed)
	return out
}

// Namespaces are those that have pods, in order.
func (l *Ledger) Namespaces() []string {
	var out []string
	for name, n := range l.namespaces {
		if len(n.pods) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Assessments is what every policy says of every pod of a namespace that it matches, by the pod's name and
// the policy's. It only reads the books.
func (l *Ledger) Assessments(namespace string) []Assessed {
	n := l.namespaces[namespace]
	if n == nil {
		return nil
	}
	var out []Assessed
	for p := range n.pods {
		for i := range p.marks {
			policy := p.marks[i].policy
			out = append(out, Assessed{Pod: p.Pod, Policy: policy.api, Assessment: policy.compiled.Assess(l.subject(p), p.sight())})
		}
	}
	slices.SortFunc(out, func(a, b Assessed) int {
		return cmp.Or(cmp.Compare(a.Pod.Name, b.Pod.Name), cmp.Compare(a.Policy.Name, b.Policy.Name))
	})
	return out
}

// count adds a pod with its mark to the sums of the mark's policy, or takes it off them: by is 1 or -1.
func (l *Ledger) count(p *pod, m *mark, by int32) {
	l.changed[p.Namespace] = struct{}{}
	m.policy.count(p, m, by)
}
