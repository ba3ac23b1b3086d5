// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// settleTime is how long both engines stand when a policy goes from one to the other: API servers
// learn of either by a watch, each in its own time.
const settleTime = 10 * time.Second

// footing is all that it depends on what carries a policy out, at one moment.
type footing struct {
	policy *v1alpha1.IsolationPolicy
	// want is what should stand for the engine ValidatingAdmissionPolicy, stands what does.
	want   product
	stands generated
	// asked is set if the API server has been told to ask the webhook, and to refuse if the policy
	// denies and nobody answers.
	asked bool
	// compiledSince is since when what is generated has been standing as it should, observed and
	// without warnings; servedSince, since when every ready replica of the webhook has been serving
	// this generation while asked was set. Zero if it is not so.
	compiledSince, servedSince time.Time
}

// move says what to do with what is generated.
type move int

const (
	leave move = iota
	// put it as it should be.
	put
	remove
)

// step is what to do for one policy.
type step struct {
	// webhook is set if the API server is to ask the webhook about the policy's pods.
	webhook bool
	objects move
	// next is when to look again; zero if nothing changes by the passing of time alone.
	next time.Time
}

// decide is pure. Of a policy that denies, one engine is let go only when the other one has settled,
// also when that never comes to be. What it goes by is what stands and since when that has been seen:
// whoever leads next sees the same, and at worst begins to wait again.
func (f *footing) decide(now time.Time, settle time.Duration) step {
	if f.policy.Spec.Admission.Engine == v1alpha1.EngineValidatingAdmissionPolicy {
		return f.towardsCompiled(now, settle)
	}
	s := f.letGo(now, settle)
	s.webhook = true
	return s
}

// towardsCompiled: the API server is to evaluate the policy itself.
func (f *footing) towardsCompiled(now time.Time, settle time.Duration) step {
	switch {
	case f.want.err != nil:
		// The webhook judges by Deny policies of either engine; to warn it leaves to this one.
		s := f.letGo(now, settle)
		s.webhook = denies(f.policy)
		return s
	case !denies(f.policy):
		return step{objects: put}
	case !f.stands.whole() || len(f.stands.warnings()) > 0:
		return step{webhook: true, objects: put}
	}
	settled := f.settles(settle)
	return step{webhook: settled.IsZero() || now.Before(settled), objects: put, next: settled}
}

// settles is when the webhook can be let go; zero if that cannot be told yet.
//
// If the webhook is not asked any more, it was let go before, by this replica or the one that led
// before: what stands can be changed then, and is not unsettled by it. Unless it stands for the first
// time: then the webhook could not be told, for want of a certificate.
func (f *footing) settles(settle time.Duration) time.Time {
	switch {
	case f.asked && f.compiledSince.IsZero(), !f.asked && f.stands.Policy.Status.ObservedGeneration == 0:
		return time.Time{}
	case f.asked:
		return f.compiledSince.Add(settle)
	}
	since := f.stands.Policy.CreationTimestamp.Time
	if bound := f.stands.Binding.CreationTimestamp.Time; bound.After(since) {
		since = bound
	}
	return since.Add(settle)
}

// letGo removes what is generated once the webhook has settled, and keeps it in step until then.
func (f *footing) letGo(now time.Time, settle time.Duration) step {
	if f.stands.none() {
		return step{}
	}
	if !denies(f.policy) && f.want.err != nil {
		// It is of a former spec, and holds against what this one may let pass.
		return step{objects: remove}
	}
	s := step{}
	if !f.servedSince.IsZero() {
		if s.next = f.servedSince.Add(settle); !now.Before(s.next) {
			return step{objects: remove}
		}
	}
	if f.want.err == nil && f.stands.whole() {
		s.objects = put
	}
	return s
}

// A stopwatch tells since when something has been seen to hold without a break.
type stopwatch struct {
	since map[string]time.Time
	held  map[string]bool
}

// holds tells since when something that holds now has.
func (s *stopwatch) holds(what string, now time.Time) time.Time {
	if s.since == nil {
		s.since = make(map[string]time.Time)
	}
	if s.held == nil {
		s.held = make(map[string]bool)
	}
	s.held[what] = true
	if _, ok := s.since[what]; !ok {
		s.since[what] = now
	}
	return s.since[what]
}

// lap forgets what has not been seen to hold since the last lap.
func (s *stopwatch) lap() {
	for what := range s.since {
		if !s.held[what] {
			delete(s.since, what)
		}
	}
	s.held = nil
}
