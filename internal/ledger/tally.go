// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"unique"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Matter is what a finding is about: its kind, and the axis or the portal, if one is concerned. There are
// not many, for all of them are words of the policy's judgement and none is a node's.
type Matter struct {
	Kind   v1alpha1.FindingKind
	Axis   v1alpha1.Axis
	Portal string
}

func (m Matter) compare(other Matter) int {
	return cmp.Or(cmp.Compare(m.Kind, other.Kind), cmp.Compare(m.Axis, other.Axis), cmp.Compare(m.Portal, other.Portal))
}

// tally is how many findings of a pod are about one matter, and what the rest is about. Most pods that
// have any have the same, so each tally exists once, and a mark holds no more than where it is.
type tally struct {
	Matter
	findings int32
	rest     unique.Handle[tally]
}

// nothing is the tally of no findings.
var nothing unique.Handle[tally]

// tallyOf counts findings by matter. The order of the findings makes no difference.
func tallyOf(findings []v1alpha1.PolicyFinding) unique.Handle[tally] {
	if len(findings) == 0 {
		return nothing
	}
	matters := make([]Matter, 0, len(findings))
	for i := range findings {
		f := &findings[i]
		matters = append(matters, Matter{f.Kind, f.Axis, f.Portal})
	}
	slices.SortFunc(matters, Matter.compare)
	all := nothing
	for len(matters) > 0 {
		n := 1
		for n < len(matters) && matters[n] == matters[0] {
			n++
		}
		all = unique.Make(tally{matters[0], int32(n), all})
		matters = matters[n:]
	}
	return all
}

// addTally adds a tally to the sums, or takes it off them: by is 1 or -1.
func (p *policy) addTally(of unique.Handle[tally], by int32) {
	for of != nothing {
		t := of.Value()
		if p.matters[t.Matter] += by * t.findings; p.matters[t.Matter] == 0 {
			delete(p.matters, t.Matter)
		}
		of = t.rest
	}
}
