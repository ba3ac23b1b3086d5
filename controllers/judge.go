// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// unwritten is how long it takes until it is asked again why something does not stand yet.
const unwritten = 5 * time.Second

// verdict is what is to be told of one policy.
type verdict struct {
	policy *v1alpha1.IsolationPolicy
	status v1alpha1.IsolationPolicyStatus
	// invalid is set if the policy cannot be judged by.
	invalid bool
}

// judgement is what is to be told at one moment.
type judgement struct {
	verdicts []verdict
	// next is when something changes by the passing of time alone; zero if nothing does.
	next time.Time
}

// alarm keeps the earliest of the moments that it is told.
type alarm struct{ at time.Time }

func (a *alarm) set(t time.Time) {
	if !t.IsZero() && (a.at.IsZero() || t.Before(a.at)) {
		a.at = t
	}
}

// judge decides what the status of every policy is: of pods by the books, of what enforces it by what
// the parts of the installation say. It does no I/O.
func judge(in *input, books *ledger.Ledger, o *webhookOptions) judgement {
	var next alarm
	next.set(books.Next())
	if len(in.Policies) == 0 {
		// How the agents are is told all the same.
		return judgement{next: next.at}
	}
	asked := askedFor(in.Configuration, o)
	var j judgement
	for i := range in.Policies {
		j.verdicts = append(j.verdicts, judgePolicy(in, &in.Policies[i], books, asked, &next))
	}
	for _, r := range in.Replicas {
		if ledger.Fresh(r.Renewed, in.Now, replicaLease) {
			next.set(r.Renewed.Add(replicaLease).Add(time.Millisecond))
		}
	}
	j.next = next.at
	return j
}

// judgePolicy decides the status of one policy.
func judgePolicy(in *input, p *v1alpha1.IsolationPolicy, books *ledger.Ledger, asked asked, next *alarm) verdict {
	v := verdict{policy: p, status: v1alpha1.IsolationPolicyStatus{
		ObservedGeneration: p.Generation, Conditions: slices.Clone(p.Status.Conditions),
	}}
	stands := books.Standing(p.UID)
	if stands.Err != nil {
		v.refuse(in, stands.Err)
		return v
	}
	v.status.Pods, v.status.Nodes = stands.Pods, stands.Nodes
	v.status.Findings, v.status.FindingsTotal = stands.Findings, stands.FindingsTotal
	v.status.Exemptions = stands.Exemptions
	v.condition(in, accepted(in, p, stands.Compiled))
	v.condition(in, enforced(in, p, stands.Compiled, asked))
	if made := in.Products[p.UID]; made.err == nil && made.whole() && !in.Generated[in.name(p)].like(made.generated) {
		// Why it does not stand is known to who writes it, and no event tells of it.
		next.set(in.Now.Add(unwritten))
	}
	v.condition(in, stands.Verified)
	if p.Spec.Runtime.Action == v1alpha1.Evict {
		v.condition(in, evictionReady(in, p))
	} else {
		meta.RemoveStatusCondition(&v.status.Conditions, v1alpha1.ConditionEvictionReady)
	}
	return v
}

// accepted decides the condition Accepted of a policy that is valid: its engine must also be able to
// carry it out.
func accepted(in *input, p *v1alpha1.IsolationPolicy, compiled *isolation.Policy) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted,
		Message: "the policy is valid",
	}
	if err := in.Products[p.UID].err; err != nil && compiled.Engine == v1alpha1.EngineValidatingAdmissionPolicy {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, cannot(err)
		if denies(p) {
			c.Message = isolation.Sanitize(c.Message, 4000) + "; until it can, the webhook enforces it"
		}
	}
	return c
}

// refuse says that the policy cannot be judged by. No pod is counted: whom it matches is not known.
func (v *verdict) refuse(in *input, err error) {
	v.invalid = true
	meta.RemoveStatusCondition(&v.status.Conditions, v1alpha1.ConditionEvictionReady)
	v.condition(in, metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid,
		Message: isolation.Sanitize(err.Error(), 4096),
	})
	v.condition(in, metav1.Condition{
		Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid,
		Message: "the policy is not valid, and nobody judges by it",
	})
	v.condition(in, metav1.Condition{
		Type: v1alpha1.ConditionVerified, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonInvalid,
		Message: "the policy is not valid, and what it requires is not known",
	})
}

// condition sets a condition; its time changes with its status only.
func (v *verdict) condition(in *input, c metav1.Condition) {
	c.ObservedGeneration = v.policy.Generation
	c.LastTransitionTime = metav1.NewTime(in.Now).Rfc3339Copy()
	meta.SetStatusCondition(&v.status.Conditions, c)
}
