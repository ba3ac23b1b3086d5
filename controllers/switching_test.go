// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// both is what is generated, made so long ago.
func both(ago time.Duration) generated {
	meta := metav1.ObjectMeta{Name: "generated", Generation: 1, CreationTimestamp: metav1.NewTime(now.Add(-ago))}
	g := generated{
		Policy:  &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: meta},
		Binding: &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta},
	}
	g.Policy.Status.ObservedGeneration = 1
	return g
}

func TestNoEngineIsLetGoBeforeTheOtherHasSettled(t *testing.T) {
	const settle = 10 * time.Second
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	warned := both(time.Hour)
	warned.Policy.Status.TypeChecking = &admissionregistrationv1.TypeChecking{
		ExpressionWarnings: []admissionregistrationv1.ExpressionWarning{{FieldRef: "f", Warning: "w"}}}
	unobserved := both(time.Hour)
	unobserved.Policy.Status.ObservedGeneration = 0
	behind := both(time.Hour)
	behind.Policy.Generation = 2
	going := both(time.Hour)
	going.Binding.DeletionTimestamp = &metav1.Time{Time: now}
	inexpressible := product{err: errors.New("cannot be said")}
	const toWebhook, toAPIServer = v1alpha1.EngineWebhook, v1alpha1.EngineValidatingAdmissionPolicy

	for name, test := range map[string]struct {
		engine v1alpha1.AdmissionEngine
		action v1alpha1.AdmissionAction
		f      footing
		want   step
	}{
		"the webhook alone": {toWebhook, v1alpha1.Deny, footing{}, step{webhook: true}},
		"to the webhook, which nobody serves": {toWebhook, v1alpha1.Deny,
			footing{stands: both(time.Hour)}, step{webhook: true, objects: put}},
		"to the webhook, which has not settled": {toWebhook, v1alpha1.Deny,
			footing{stands: both(time.Hour), servedSince: ago(9 * time.Second)}, step{webhook: true, objects: put, next: now.Add(time.Second)}},
		"to the webhook, which has settled": {toWebhook, v1alpha1.Deny,
			footing{stands: both(time.Hour), servedSince: ago(settle)}, step{webhook: true, objects: remove}},
		"to the webhook, with a spec that CEL cannot say": {toWebhook, v1alpha1.Deny,
			footing{stands: both(time.Hour), want: inexpressible}, step{webhook: true}},
		"to the webhook, to warn of what CEL cannot say": {toWebhook, v1alpha1.Warn,
			footing{stands: both(time.Hour), want: inexpressible}, step{webhook: true, objects: remove}},
		"half of it is left": {toWebhook, v1alpha1.Deny,
			footing{stands: generated{Policy: both(time.Hour).Policy}}, step{webhook: true}},

		"a new policy": {toAPIServer, v1alpha1.Deny, footing{}, step{webhook: true, objects: put}},
		"half of it was deleted": {toAPIServer, v1alpha1.Deny,
			footing{stands: generated{Policy: both(time.Hour).Policy}}, step{webhook: true, objects: put}},
		"half of it is being deleted": {toAPIServer, v1alpha1.Deny, footing{stands: going}, step{webhook: true, objects: put}},
		"to the API server, which has not looked": {toAPIServer, v1alpha1.Deny,
			footing{stands: unobserved, asked: true}, step{webhook: true, objects: put}},
		"to the API server, which has not settled": {toAPIServer, v1alpha1.Deny,
			footing{stands: both(0), asked: true, compiledSince: ago(9 * time.Second)}, step{webhook: true, objects: put, next: now.Add(time.Second)}},
		"to the API server, which has settled": {toAPIServer, v1alpha1.Deny,
			footing{stands: both(settle), asked: true, compiledSince: ago(settle)}, step{objects: put, next: now}},
		"to the API server, which warns": {toAPIServer, v1alpha1.Deny,
			footing{stands: warned, asked: true}, step{webhook: true, objects: put}},
		"warns although it had settled": {toAPIServer, v1alpha1.Deny, footing{stands: warned}, step{webhook: true, objects: put}},
		"the API server alone": {toAPIServer, v1alpha1.Deny,
			footing{stands: both(time.Hour), compiledSince: now}, step{objects: put, next: now.Add(-time.Hour).Add(settle)}},
		"the API server alone, and an edit": {toAPIServer, v1alpha1.Deny,
			footing{stands: behind}, step{objects: put, next: now.Add(-time.Hour).Add(settle)}},
		"the API server alone, before the webhook could be told": {toAPIServer, v1alpha1.Deny,
			footing{stands: both(time.Second)}, step{webhook: true, objects: put, next: now.Add(9 * time.Second)}},
		"the API server alone, and nobody ever looked": {toAPIServer, v1alpha1.Deny,
			footing{stands: unobserved}, step{webhook: true, objects: put}},
		"what CEL cannot say": {toAPIServer, v1alpha1.Deny, footing{want: inexpressible}, step{webhook: true}},
		"what CEL can no longer say, until the webhook serves it": {toAPIServer, v1alpha1.Deny,
			footing{want: inexpressible, stands: both(time.Hour)}, step{webhook: true}},
		"what CEL can no longer say, when the webhook has settled": {toAPIServer, v1alpha1.Deny,
			footing{want: inexpressible, stands: both(time.Hour), servedSince: ago(settle)}, step{webhook: true, objects: remove}},
		"to warn, which the webhook leaves to the API server": {toAPIServer, v1alpha1.Warn, footing{asked: true}, step{objects: put}},
		"to warn of what CEL can no longer say": {toAPIServer, v1alpha1.Audit,
			footing{want: inexpressible, stands: both(time.Hour)}, step{objects: remove}},
	} {
		t.Run(name, func(t *testing.T) {
			p := demanding("all")
			p.Spec.Admission = v1alpha1.AdmissionSpec{Action: test.action, Engine: test.engine}
			test.f.policy = &p
			NewWithT(t).Expect(test.f.decide(now, settle)).To(Equal(test.want))
		})
	}
}

func TestAStopwatchBeginsAnewAfterABreak(t *testing.T) {
	g := NewWithT(t)
	var s stopwatch
	g.Expect(s.holds("a", now)).To(Equal(now))
	s.lap()
	g.Expect(s.holds("a", now.Add(time.Second))).To(Equal(now))
	g.Expect(s.holds("b", now.Add(time.Second))).To(Equal(now.Add(time.Second)))
	s.lap()
	g.Expect(s.holds("b", now.Add(2*time.Second))).To(Equal(now.Add(time.Second)))
	s.lap()
	g.Expect(s.holds("a", now.Add(3*time.Second))).To(Equal(now.Add(3*time.Second)), "it did not hold meanwhile")
}
