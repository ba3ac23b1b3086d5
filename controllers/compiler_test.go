// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func TestEachRevisionIsCompiledOnce(t *testing.T) {
	g := NewWithT(t)
	clk := clocktesting.NewFakePassiveClock(now)
	compiled := 0
	c := &compiler{clock: clk, compile: func(*v1alpha1.IsolationPolicy) (generated, error) {
		compiled++
		return both(0), nil
	}}
	p := demanding("all")
	for range 3 {
		g.Expect(c.of(&p).whole()).To(BeTrue())
	}
	g.Expect(compiled).To(Equal(1))

	c.wrote(&p, errors.New("the API server\ndoes not answer"))
	g.Expect(c.of(&p).err).NotTo(HaveOccurred())
	g.Expect(c.of(&p).fault).To(Equal(`the API server\ndoes not answer`))
	c.wrote(&p, nil)
	g.Expect(c.of(&p).fault).To(BeEmpty())

	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "ValidatingAdmissionPolicy"}, "x", nil)
	c.wrote(&p, fmt.Errorf("write: %w", invalid))
	g.Expect(c.of(&p).err).To(MatchError(invalid), "what the API server refuses is as good as what cannot be said")
	g.Expect(c.of(&p).whole()).To(BeFalse())
	g.Expect(c.attempt(&p).err).To(MatchError(invalid))
	clk.SetTime(now.Add(refusal))
	g.Expect(c.attempt(&p).whole()).To(BeTrue(), "a newer API server may take it")
	g.Expect(c.of(&p).err).To(MatchError(invalid), "until it does, it is refused")
	c.wrote(&p, errors.New("the API server does not answer"))
	g.Expect(c.of(&p).err).To(MatchError(invalid))
	c.wrote(&p, fmt.Errorf("write: %w", invalid))
	g.Expect(c.attempt(&p).err).To(MatchError(invalid), "it is not asked again at once")
	clk.SetTime(now.Add(2 * refusal))
	c.wrote(&p, nil)
	g.Expect(c.of(&p).whole()).To(BeTrue())

	before := compiled
	p.Generation++
	c.of(&p)
	g.Expect(compiled).To(Equal(before + 1))
	c.keep([]v1alpha1.IsolationPolicy{p})
	g.Expect(c.known).To(HaveLen(1))
	c.wrote(&v1alpha1.IsolationPolicy{}, invalid)
	g.Expect(c.known).To(HaveLen(1))
}

func TestRepairKeepsWhatOthersPutThereAndTakesAwayTheirOwners(t *testing.T) {
	g := NewWithT(t)
	want, stands := both(0), both(time.Hour)
	want.Policy.Labels = managed
	g.Expect(stands.like(want)).To(BeFalse())
	stands.Policy.Labels = map[string]string{"theirs": "stays", "app.kubernetes.io/managed-by": "bulkhead-manager"}
	stands.Policy.Annotations = map[string]string{"theirs": "stays"}
	g.Expect(stands.like(want)).To(BeTrue())
	g.Expect(stands.like(generated{})).To(BeFalse())
	stands.Binding.OwnerReferences = []metav1.OwnerReference{{Kind: "ConfigMap"}}
	g.Expect(stands.like(want)).To(BeFalse())
	g.Expect(repaired(stands.Binding, want.Binding).GetOwnerReferences()).To(BeEmpty())
	stands.Binding.Spec.PolicyName = "another"
	g.Expect(repaired(stands.Binding, want.Binding)).To(HaveField("Spec.PolicyName", ""))
	stands.Policy.Annotations = nil
	g.Expect(repaired(stands.Policy, want.Policy)).To(BeNil(), "no annotations are no difference")
}

func TestOnlyWhatNamesAPolicyAsItsOwnerCanBeLeftBehind(t *testing.T) {
	owned := func(kind, group, uid string) generated {
		g := both(0)
		g.Policy.OwnerReferences = []metav1.OwnerReference{{APIVersion: group + "/v1alpha1", Kind: kind, UID: "uid-" + "x"}}
		g.Policy.OwnerReferences[0].UID = demanding(uid).UID
		return g
	}
	bindingOnly := owned("IsolationPolicy", v1alpha1.Group, "gone")
	bindingOnly.Binding.OwnerReferences, bindingOnly.Policy = bindingOnly.Policy.OwnerReferences, nil
	NewWithT(t).Expect(orphans(map[string]generated{
		"b-gone":      owned("IsolationPolicy", v1alpha1.Group, "gone"),
		"a-gone":      bindingOnly,
		"there":       owned("IsolationPolicy", v1alpha1.Group, "there"),
		"by-hand":     both(0),
		"of-others":   owned("IsolationPolicy", "example.org", "gone"),
		"of-a-config": owned("ConfigMap", v1alpha1.Group, "gone"),
		"generated":   owned("IsolationPolicy", v1alpha1.Group, "edited"),
	}, []v1alpha1.IsolationPolicy{demanding("there")}, func(*v1alpha1.IsolationPolicy) string { return "generated" })).To(Equal([]string{"a-gone", "b-gone"}))
}
