// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// uncompilable has a selector that the schema does not know to be wrong.
func uncompilable(s *v1alpha1.IsolationPolicySpec) {
	s.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tenancy", Operator: "Resembles", Values: []string{"shared"}}},
	}}
}

func namesOf(s *snapshot) []string {
	var names []string
	for _, p := range s.policies {
		names = append(names, p.Name)
	}
	return names
}

func TestASnapshotIsInOrderAndHoldsWhatCompiles(t *testing.T) {
	g := NewWithT(t)
	s := compileAll(nil, []v1alpha1.IsolationPolicy{
		*policyOf("c", v1alpha1.Deny), *policyOf("b", v1alpha1.Deny, uncompilable), *policyOf("a", v1alpha1.Warn),
	})
	g.Expect(namesOf(s)).To(Equal([]string{"a", "c"}))
	g.Expect(s.served).To(Equal(v1alpha1.Served{"a": 1, "c": 1}))
}

func TestASnapshotCompilesAnewWhatChangedOnly(t *testing.T) {
	g := NewWithT(t)
	before := compileAll(nil, []v1alpha1.IsolationPolicy{*policyOf("a", v1alpha1.Deny), *policyOf("b", v1alpha1.Deny), *policyOf("c", v1alpha1.Deny)})
	edited := policyOf("b", v1alpha1.Warn)
	edited.Generation = 2
	// Deleted and created again: the generation starts over.
	recreated := policyOf("c", v1alpha1.Audit)
	recreated.UID = "another"
	after := compileAll(before, []v1alpha1.IsolationPolicy{*policyOf("a", v1alpha1.Deny), *edited, *recreated})
	g.Expect(after.policies[0]).To(BeIdenticalTo(before.policies[0]))
	g.Expect(after.policies[1].Action).To(Equal(v1alpha1.Warn))
	g.Expect(after.policies[2].Action).To(Equal(v1alpha1.Audit))
	g.Expect(after.served).To(Equal(v1alpha1.Served{"a": 1, "b": 2, "another": 1}))
	g.Expect(before.served).To(Equal(v1alpha1.Served{"a": 1, "b": 1, "c": 1}), "a snapshot does not change")
}

func TestAPolicyThatNoLongerCompilesIsNoLongerServed(t *testing.T) {
	before := compileAll(nil, []v1alpha1.IsolationPolicy{*policyOf("a", v1alpha1.Deny)})
	edited := policyOf("a", v1alpha1.Deny, uncompilable)
	edited.Generation = 2
	after := compileAll(before, []v1alpha1.IsolationPolicy{*edited})
	NewWithT(t).Expect(after.policies).To(BeEmpty())
	NewWithT(t).Expect(after.served).To(BeEmpty())
}

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	g := NewWithT(t)
	s := newStore(nil, logr.Discard(), nil)
	known := &synced{}
	certs, _ := emptySecret(t)
	listener := &server{address: ":9443"}
	ending := make(chan struct{})
	check := readiness(ending, s.ready, known.ready, certs.ready, listener.ready)
	g.Expect(check(nil)).To(MatchError(errNotRead))
	s.current.Store(compileAll(nil, nil))
	g.Expect(check(nil)).To(MatchError(ContainSubstring("namespaces")))
	known.namespaces.Store(true)
	g.Expect(check(nil)).To(MatchError(ContainSubstring("no certificate")))
	secret := secretOf(t, certs)
	certs.load(t.Context(), secret)
	g.Expect(check(nil)).To(MatchError(ContainSubstring("nothing listens on :9443")))
	listener.listens.Store(true)
	g.Expect(check(nil)).To(Succeed())
	close(ending)
	g.Expect(check(nil)).To(MatchError(ContainSubstring("asked to end")))
}

func TestTheCountersOfAPolicyGoWithIt(t *testing.T) {
	g := NewWithT(t)
	before := compileAll(nil, []v1alpha1.IsolationPolicy{*policyOf("a", v1alpha1.Deny), *policyOf("b", v1alpha1.Warn), *policyOf("c", v1alpha1.Warn)})
	edited := policyOf("c", v1alpha1.Audit)
	edited.Generation = 2
	after := compileAll(before, []v1alpha1.IsolationPolicy{*policyOf("a", v1alpha1.Deny), *edited})
	g.Expect(before.without(after)).To(Equal([]string{"b"}))

	h := handlerOf(before.policies...)
	expectAllowed(t, ask(t, h, creation(t, podOf())))
	g.Expect(testutil.CollectAndCount(h.metrics.verdicts)).To(Equal(3))
	h.metrics.forget("b")
	g.Expect(testutil.CollectAndCount(h.metrics.verdicts)).To(Equal(2))
	g.Expect(testutil.ToFloat64(h.metrics.verdicts.WithLabelValues("a", verdictAllowed))).To(BeEquivalentTo(1))
}
