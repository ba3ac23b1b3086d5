// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// selecting is a policy for namespaces with a label.
func selecting(name string, action v1alpha1.AdmissionAction, tenancy string) v1alpha1.IsolationPolicy {
	p := demanding(name)
	p.Spec.Admission.Action = action
	p.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": tenancy}}}
	return p
}

// podEntriesOf are the entries about pods, with their failure policies.
func podEntriesOf(policies ...v1alpha1.IsolationPolicy) []admissionregistrationv1.ValidatingWebhook {
	return slices.DeleteFunc(webhookConfiguration(policies, nil, []byte("ca"), options).Webhooks,
		func(w admissionregistrationv1.ValidatingWebhook) bool {
			return w.Name == policyEntry || w.Name == templateEntry
		})
}

func TestAnEntryAsksAboutPodsAndTheirDebugContainersOutsideExcludedNamespaces(t *testing.T) {
	g := NewWithT(t)
	p := selecting("tenants", v1alpha1.Deny, "shared")
	p.Spec.Match.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	entries := podEntriesOf(p)
	g.Expect(entries).To(HaveLen(1))
	w := entries[0]
	g.Expect(w.Name).To(MatchRegexp(`^deny-[0-9a-f]{12}\.pods\.bulkhead\.dev$`))
	g.Expect(*w.FailurePolicy).To(Equal(admissionregistrationv1.Fail))
	g.Expect(*w.NamespaceSelector).To(Equal(metav1.LabelSelector{
		MatchLabels: map[string]string{"tenancy": "shared"},
		MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"bulkhead-system", "kube-system"}},
		},
	}))
	g.Expect(*w.ObjectSelector).To(Equal(*p.Spec.Match.PodSelector))
	g.Expect(w.Rules).To(ConsistOf(
		SatisfyAll(HaveField("Operations", ConsistOf(admissionregistrationv1.Create)), HaveField("Resources", ConsistOf("pods"))),
		SatisfyAll(HaveField("Operations", ConsistOf(admissionregistrationv1.Update)), HaveField("Resources", ConsistOf("pods/ephemeralcontainers"))),
	))
	g.Expect(*w.ClientConfig.Service.Path).To(Equal("/validate-pods/" + strings.TrimSuffix(strings.TrimPrefix(w.Name, "deny-"), ".pods.bulkhead.dev")))
	g.Expect(w.ClientConfig.CABundle).To(Equal([]byte("ca")))
	g.Expect(p.Spec.Match.NamespaceSelector.MatchExpressions).To(BeEmpty(), "the policy itself is left alone")
}

func TestThereIsAnEntryPerDistinctPairOfSelectors(t *testing.T) {
	anywhere := demanding("anywhere")
	nowhereInParticular := demanding("nowhere-in-particular")
	nowhereInParticular.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{}}
	broken := selecting("broken", v1alpha1.Deny, "broken")
	broken.Spec.Isolation.PID = "Sometimes"
	going := selecting("going", v1alpha1.Deny, "going")
	going.DeletionTimestamp = &metav1.Time{Time: now}
	for name, test := range map[string]struct {
		policies   []v1alpha1.IsolationPolicy
		deny, flag int
	}{
		"none without policies":                    {nil, 0, 0},
		"one for two Deny policies that are alike": {[]v1alpha1.IsolationPolicy{selecting("a", v1alpha1.Deny, "x"), selecting("b", v1alpha1.Deny, "x")}, 1, 0},
		"two for two that differ":                  {[]v1alpha1.IsolationPolicy{selecting("a", v1alpha1.Deny, "x"), selecting("b", v1alpha1.Deny, "y")}, 2, 0},
		"one for no match and an empty one":        {[]v1alpha1.IsolationPolicy{anywhere, nowhereInParticular}, 1, 0},
		"one for Warn and Audit alike":             {[]v1alpha1.IsolationPolicy{selecting("a", v1alpha1.Warn, "x"), selecting("b", v1alpha1.Audit, "x")}, 0, 1},
		"the Deny one also for Warn":               {[]v1alpha1.IsolationPolicy{selecting("a", v1alpha1.Warn, "x"), selecting("b", v1alpha1.Deny, "x")}, 1, 0},
		"one each for Deny and Warn apart":         {[]v1alpha1.IsolationPolicy{selecting("a", v1alpha1.Warn, "y"), selecting("b", v1alpha1.Deny, "x")}, 1, 1},
		"none for what is not valid":               {[]v1alpha1.IsolationPolicy{broken}, 0, 0},
		"still one for what is being deleted":      {[]v1alpha1.IsolationPolicy{going}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var deny, flag int
			for _, w := range podEntriesOf(test.policies...) {
				if *w.FailurePolicy == admissionregistrationv1.Fail {
					deny++
					g.Expect(w.Name).To(HavePrefix("deny-"))
				} else {
					flag++
					g.Expect(w.Name).To(HavePrefix("flag-"))
				}
			}
			g.Expect([]int{deny, flag}).To(Equal([]int{test.deny, test.flag}))
		})
	}
}

func TestTheOrderOfPoliciesAndOfTheirSelectorsChangesNothing(t *testing.T) {
	expression := func(key string, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values}
	}
	one, other := demanding("one"), demanding("other")
	one.Spec.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{expression("a", "1", "2"), expression("b", "3")},
	}}
	other.Spec.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{expression("b", "3"), expression("a", "2", "1")},
	}}
	third := selecting("third", v1alpha1.Warn, "x")
	g := NewWithT(t)
	entries := podEntriesOf(one, other, third)
	g.Expect(entries).To(HaveLen(2))
	g.Expect(podEntriesOf(third, other, one)).To(Equal(entries))
	g.Expect(podEntriesOf(other, third)).To(Equal(entries), "nor does it matter which of two alike is gone")
}

func TestPoliciesThemselvesAreAskedAboutButNotTheirDeletion(t *testing.T) {
	g := NewWithT(t)
	all := webhookConfiguration(nil, nil, []byte("ca"), options).Webhooks
	g.Expect(all).To(HaveLen(1))
	g.Expect(all[0].Name).To(Equal("policies.bulkhead.dev"))
	g.Expect(*all[0].ClientConfig.Service.Path).To(Equal(v1alpha1.PolicyWebhookPath))
	g.Expect(all[0].Rules).To(HaveLen(1))
	g.Expect(all[0].Rules[0].Operations).To(ConsistOf(admissionregistrationv1.Create, admissionregistrationv1.Update))
	g.Expect(all[0].Rules[0].Resources).To(ConsistOf("isolationpolicies"))
}

func TestWhatTheAPIServerEvaluatesItselfHasNoEntryAndTakesNoneFromOthers(t *testing.T) {
	g := NewWithT(t)
	one, other := selecting("one", v1alpha1.Deny, "x"), selecting("other", v1alpha1.Warn, "x")
	names := func(without uids, policies ...v1alpha1.IsolationPolicy) []string {
		out := []string{}
		for _, w := range webhookConfiguration(policies, without, []byte("ca"), options).Webhooks {
			kind, _, _ := strings.Cut(w.Name, "-")
			out = append(out, kind)
		}
		return out
	}
	g.Expect(names(uids{one.UID: true}, one)).To(ConsistOf(policyEntry, templateEntry))
	g.Expect(names(uids{one.UID: true}, one, other)).To(ConsistOf(policyEntry, templateEntry, "flag"))
	g.Expect(names(uids{other.UID: true}, one, other)).To(ConsistOf(policyEntry, templateEntry, "deny"))
	g.Expect(names(nil)).To(ConsistOf(policyEntry), "without a policy nobody need be asked about workloads")
}

func TestWorkloadsAreAskedAboutOnlyToWarn(t *testing.T) {
	g := NewWithT(t)
	all := webhookConfiguration([]v1alpha1.IsolationPolicy{demanding("all")}, nil, []byte("ca"), options).Webhooks
	w := all[slices.IndexFunc(all, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == templateEntry })]
	g.Expect(*w.FailurePolicy).To(Equal(admissionregistrationv1.Ignore))
	g.Expect(*w.TimeoutSeconds).To(BeNumerically("<=", 2))
	g.Expect(*w.ClientConfig.Service.Path).To(Equal(v1alpha1.TemplateWebhookPath))
	g.Expect(w.NamespaceSelector.MatchExpressions).To(ConsistOf(HaveField("Values", []string{"bulkhead-system", "kube-system"})))
	var resources []string
	for _, r := range w.Rules {
		resources = append(resources, r.Resources...)
	}
	g.Expect(resources).To(ConsistOf("deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs",
		"replicationcontrollers", "podtemplates"))
}

func TestTheInstallationsOwnNamespaceIsAlwaysExcluded(t *testing.T) {
	g := NewWithT(t)
	g.Expect(newWebhookOptions("bulkhead-system", nil).Excluded).To(Equal([]string{"bulkhead-system", "kube-system"}))
	g.Expect(newWebhookOptions("bulkhead-system", []string{}).Excluded).To(Equal([]string{"bulkhead-system"}))
	g.Expect(newWebhookOptions("b", []string{"c", "a", "b"}).Excluded).To(Equal([]string{"a", "b", "c"}))
}
