// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func TestEnforced(t *testing.T) {
	p := demanding("all")
	p.Generation = 2
	serves := func(generation int64) replica {
		return replica{Renewed: now.Add(-5 * time.Second), Served: v1alpha1.Served{p.UID: generation}}
	}
	silent := serves(2)
	silent.Renewed = now.Add(-31 * time.Second)
	mute := serves(2)
	mute.Served = nil
	configured := webhookConfiguration([]v1alpha1.IsolationPolicy{p}, nil, []byte("ca"), options)
	untrusted := webhookConfiguration([]v1alpha1.IsolationPolicy{p}, nil, nil, options)
	loosened := configured.DeepCopy()
	for i := range loosened.Webhooks {
		loosened.Webhooks[i].FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	}
	for name, test := range map[string]struct {
		endpoints     []endpoint
		replicas      map[string]replica
		configuration *admissionregistrationv1.ValidatingWebhookConfiguration
		status        metav1.ConditionStatus
		reason        string
		message       string
	}{
		"all serve it": {
			[]endpoint{{Pod: "a"}, {Pod: "b"}}, map[string]replica{"a": serves(2), "b": serves(2)}, configured,
			metav1.ConditionTrue, v1alpha1.ReasonServed, "2 of 2 ready replicas serve generation 2"},
		"a replica that is not ready is not asked": {
			[]endpoint{{Pod: "a"}}, map[string]replica{"a": serves(2), "b": serves(1)}, configured,
			metav1.ConditionTrue, v1alpha1.ReasonServed, "1 of 1"},
		"one serves an old generation": {
			[]endpoint{{Pod: "a"}, {Pod: "b"}}, map[string]replica{"a": serves(2), "b": serves(1)}, configured,
			metav1.ConditionFalse, v1alpha1.ReasonNotServed, "1 of 2 ready replicas serve generation 2: b serves generation 1"},
		"one does not serve it at all": {
			[]endpoint{{Pod: "a"}}, map[string]replica{"a": {Renewed: now, Served: v1alpha1.Served{}}}, configured,
			metav1.ConditionFalse, v1alpha1.ReasonNotServed, "a does not serve it"},
		"one is silent": {
			[]endpoint{{Pod: "a"}, {Pod: "b"}}, map[string]replica{"a": serves(2), "b": silent}, configured,
			metav1.ConditionFalse, v1alpha1.ReasonNotServed, "b has been silent since 2026-05-04T11:59:29Z"},
		"one never said": {
			[]endpoint{{Pod: "a"}, {Pod: "b"}}, map[string]replica{"a": serves(2)}, configured,
			metav1.ConditionFalse, v1alpha1.ReasonNotServed, "b has not said what it serves"},
		"an endpoint that is no pod": {
			[]endpoint{{Pod: "a"}, {Address: "192.0.2.1"}}, map[string]replica{"a": serves(2)}, configured,
			metav1.ConditionFalse, v1alpha1.ReasonNotServed, "192.0.2.1 has not said what it serves"},
		"nothing is ready": {
			nil, map[string]replica{"a": serves(2)}, configured,
			metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes, "nothing is ready behind Service bulkhead-webhook"},
		"nobody has said anything that can be read": {
			[]endpoint{{Pod: "a"}, {Pod: "b"}}, map[string]replica{"a": mute, "b": silent}, configured,
			metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes, "none of 2 ready replicas has said"},
		"the API server has not been told": {
			[]endpoint{{Pod: "a"}}, map[string]replica{"a": serves(2)}, nil,
			metav1.ConditionFalse, v1alpha1.ReasonNotConfigured, "bulkhead"},
		"the API server trusts nobody": {
			[]endpoint{{Pod: "a"}}, map[string]replica{"a": serves(2)}, untrusted,
			metav1.ConditionFalse, v1alpha1.ReasonNotConfigured, "bulkhead"},
		"somebody made it fail open": {
			[]endpoint{{Pod: "a"}}, map[string]replica{"a": serves(2)}, loosened,
			metav1.ConditionFalse, v1alpha1.ReasonNotConfigured, "bulkhead"},
	} {
		t.Run(name, func(t *testing.T) {
			in := world()
			in.Endpoints, in.Replicas, in.Configuration = test.endpoints, test.replicas, test.configuration
			c := meta.FindStatusCondition(judgeOne(in, p).status.Conditions, v1alpha1.ConditionEnforced)
			NewWithT(t).Expect(*c).To(SatisfyAll(
				HaveField("Status", test.status), HaveField("Reason", test.reason), HaveField("Message", ContainSubstring(test.message))))
		})
	}
}

func TestEnforcedByTheAPIServerItself(t *testing.T) {
	p := demanding("all")
	p.Spec.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy
	asking := webhookConfiguration([]v1alpha1.IsolationPolicy{p}, nil, []byte("ca"), options)
	edited, unobserved, warned, one := both(0), both(0), both(0), both(0)
	edited.Binding.Spec.PolicyName = "another"
	unobserved.Policy.Generation = 2
	warned.Policy.Status.TypeChecking = &admissionregistrationv1.TypeChecking{
		ExpressionWarnings: []admissionregistrationv1.ExpressionWarning{{FieldRef: "spec.validations[0]", Warning: "no\nsuch field"}}}
	one.Binding = nil
	for name, test := range map[string]struct {
		made          product
		stands        generated
		configuration *admissionregistrationv1.ValidatingWebhookConfiguration
		status        metav1.ConditionStatus
		reason        string
		message       string
	}{
		"stands and observed": {product{generated: both(0)}, both(0), nil,
			metav1.ConditionTrue, v1alpha1.ReasonCompiled, "generated and its binding stand, and the API server evaluates them itself"},
		"not settled": {product{generated: both(0)}, both(0), asking,
			metav1.ConditionTrue, v1alpha1.ReasonCompiled, "itself; until that has settled the API server asks the webhook as well"},
		"not observed": {product{generated: both(0)}, unobserved, asking,
			metav1.ConditionUnknown, v1alpha1.ReasonCompiled, "has not checked its types yet; until that has settled"},
		"warned of": {product{generated: both(0)}, warned, nil,
			metav1.ConditionFalse, v1alpha1.ReasonTypeWarnings, `spec.validations[0]: no\nsuch field`},
		"edited": {product{generated: both(0)}, edited, nil,
			metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, "not as it should be"},
		"half of it": {product{generated: both(0)}, one, nil,
			metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, "do not both stand yet"},
		"nothing, for a reason": {product{generated: both(0), fault: "forbidden"}, generated{}, nil,
			metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, "do not both stand yet: forbidden"},
		"what cannot be said": {product{err: errors.New("spec.x: CEL has no\nclock")}, generated{}, asking,
			metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, `spec.x: CEL has no\nclock; instead, the webhook: nothing is ready behind`},
	} {
		t.Run(name, func(t *testing.T) {
			in := world()
			in.Name = func(*v1alpha1.IsolationPolicy) string { return "generated" }
			in.Products = map[types.UID]product{p.UID: test.made}
			in.Generated, in.Configuration = map[string]generated{"generated": test.stands}, test.configuration
			status := judgeOne(in, p).status
			c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEnforced)
			g := NewWithT(t)
			g.Expect(*c).To(SatisfyAll(
				HaveField("Status", test.status), HaveField("Reason", test.reason), HaveField("Message", ContainSubstring(test.message))))
			accepted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAccepted)
			g.Expect(accepted.Status == metav1.ConditionTrue).To(Equal(test.made.err == nil))
			if test.made.err != nil {
				g.Expect(*accepted).To(SatisfyAll(HaveField("Reason", v1alpha1.ReasonNotCompiled), HaveField("Message", ContainSubstring("CEL has no"))))
			}
		})
	}
}

func TestWhatDoesNotStandYetIsLookedForAgain(t *testing.T) {
	g := NewWithT(t)
	p := demanding("all")
	p.Spec.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy
	in := world()
	delete(in.Reports, "one") // nothing else is waited for
	in.Policies = []v1alpha1.IsolationPolicy{p}
	in.Name = func(*v1alpha1.IsolationPolicy) string { return "generated" }
	in.Products = map[types.UID]product{p.UID: {generated: both(0)}}
	g.Expect(in.judge().next).To(Equal(now.Add(unwritten)))
	in.Generated = map[string]generated{"generated": both(0)}
	g.Expect(in.judge().next).To(BeZero())
	in.Products, in.Generated = map[types.UID]product{p.UID: {err: errors.New("cannot be said")}}, nil
	g.Expect(in.judge().next).To(BeZero())
}

func TestThatTheFormerEngineStillStandsIsSaid(t *testing.T) {
	in := world()
	in.Name = func(*v1alpha1.IsolationPolicy) string { return "generated" }
	in.Generated = map[string]generated{"generated": both(0)}
	c := meta.FindStatusCondition(judgeOne(in, demanding("all")).status.Conditions, v1alpha1.ConditionEnforced)
	NewWithT(t).Expect(*c).To(SatisfyAll(HaveField("Status", metav1.ConditionUnknown),
		HaveField("Message", HaveSuffix("until that has settled ValidatingAdmissionPolicy generated enforces it as well"))))
}

func TestAPolicyThatWarnsIsEnforcedByTheEntryOfADenyPolicyWithTheSameSelectors(t *testing.T) {
	deny, warn := demanding("deny"), demanding("warn")
	warn.Spec.Admission.Action = v1alpha1.Warn
	both := []v1alpha1.IsolationPolicy{deny, warn}
	g := NewWithT(t)
	g.Expect(askedFor(webhookConfiguration(both, nil, []byte("ca"), options), options).whom(&warn, mustCompile(warn))).To(BeTrue())
	flagging := webhookConfiguration([]v1alpha1.IsolationPolicy{warn}, nil, []byte("ca"), options)
	g.Expect(askedFor(flagging, options).whom(&deny, mustCompile(deny))).To(BeFalse(), "an entry that lets pass is not enough for Deny")
}

func TestReadyEndpointsOfAllSlicesEachOnce(t *testing.T) {
	pod := func(name string, ready *bool, address string) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name},
		}
	}
	NewWithT(t).Expect(readyEndpoints([]discoveryv1.EndpointSlice{
		{Endpoints: []discoveryv1.Endpoint{pod("b", ptr.To(true), "10.0.0.2"), pod("a", nil, "10.0.0.1"), pod("c", ptr.To(false), "10.0.0.3")}},
		{Endpoints: []discoveryv1.Endpoint{pod("b", ptr.To(true), "fd00::2"), {Addresses: []string{"192.0.2.1"}}}},
	})).To(Equal([]endpoint{{Address: "192.0.2.1"}, {Pod: "a"}, {Pod: "b"}}))
}

func lease(name, kind, served string) coordinationv1.Lease {
	return coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{v1alpha1.LabelLease: kind}, Annotations: map[string]string{v1alpha1.AnnotationServed: served},
		},
		Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NewMicroTime(now))},
	}
}

func TestTheLeaseOfAReplicaSaysWhatItServes(t *testing.T) {
	in := &input{}
	in.readLeases([]coordinationv1.Lease{
		lease(v1alpha1.WebhookLeasePrefix+"manager", v1alpha1.LeaseWebhook, `{"uid": 3}`),
		lease(v1alpha1.WebhookLeasePrefix+"broken", v1alpha1.LeaseWebhook, `{`),
		lease("three", v1alpha1.LeaseWebhook, `{"uid": 3}`),
	})
	g := NewWithT(t)
	g.Expect(in.Replicas).To(HaveLen(2))
	g.Expect(in.Replicas["manager"].Served).To(Equal(v1alpha1.Served{"uid": 3}))
	g.Expect(in.Replicas["broken"].Served).To(BeNil())
}
