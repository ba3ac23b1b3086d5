// SPDX-License-Identifier: Apache-2.0

package isolation

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

// Promise is how what was observed of a pod stands to what its spec promised. A pod made anew from the
// same spec can be better only if the promise was broken.
type Promise uint8

const (
	// NoBreach: nothing was observed that is below what is required.
	NoBreach Promise = iota
	// Broken: observed is less than the spec promised.
	Broken
	// AskedFor: the spec promises no more than was observed.
	AskedFor
	// NeverMade: no field of a spec speaks of the axis, or none of this one does; the runtime decides.
	NeverMade
	// Unblamed: in a namespace of another pod, and nothing says that this pod entered it, rather than
	// the other one's processes came here.
	Unblamed
)

// PromiseOf tells how a finding of [Policy.Assess] on the subject stands to its spec. observed are the
// levels that were assessed.
func (s *Subject) PromiseOf(f *v1alpha1.PolicyFinding, observed *Vector) Promise {
	switch f.Kind {
	case v1alpha1.Violation, v1alpha1.Unverified, v1alpha1.Orphan:
		return NoBreach
	case v1alpha1.Portal, v1alpha1.Leak:
		// Agents report as such only what the spec did not ask for.
		return Broken
	}
	a, ok := ParseAxis(string(f.Axis))
	if !ok {
		return NoBreach
	}
	switch claim := s.claim(a); {
	case claim == None:
		return NeverMade
	case !observed[a].Below(claim):
		return AskedFor
	case observed[a] == Foreign && f.Kind == v1alpha1.Breach:
		return Unblamed
	}
	return Broken
}

// claim is the lowest that the whole of the subject promises, debug containers included; None if it
// promises nothing.
func (s *Subject) claim(a Axis) Level {
	claim := axisChecks[a].claim(scope{Subject: s})
	debug := scope{Subject: s, ephemeral: true}
	if !debug.runs() {
		return claim
	}
	if added := axisChecks[a].claim(debug); added != None && added < claim {
		return added
	}
	return claim
}
