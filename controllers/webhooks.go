// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// The API server asks the webhook about pods that a policy matches, and about no other. One entry
// for each pair of selectors says which: those of Deny policies refuse when nobody answers
// (failurePolicy Fail), those of Warn and Audit policies admit. The API server passes on the first
// refusal only, so every call judges by all policies that match, whichever entry it came by; a pair
// that a Deny policy has needs no second entry.

// webhookTimeout bounds what a webhook that does not answer costs a pod. A judgement takes far less
// than a millisecond; the rest is for a replica that is just going away.
const webhookTimeout = 5

// policyEntry is the entry that asks about policies themselves.
const policyEntry = "policies.bulkhead.dev"

// webhookOptions say where the webhook is, and whom it leaves alone.
type webhookOptions struct {
	namespace string
	excluded  []string
	caBundle  []byte
}

// pair is what an entry matches.
type pair struct {
	Namespaces *metav1.LabelSelector
	Pods       *metav1.LabelSelector
}

func pairOf(p *v1alpha1.IsolationPolicy) pair {
	// Absent and empty selectors are the same.
	all := pair{Namespaces: &metav1.LabelSelector{}, Pods: &metav1.LabelSelector{}}
	if m := p.Spec.Match; m != nil {
		all.Namespaces = cmp.Or(m.NamespaceSelector, all.Namespaces)
		all.Pods = cmp.Or(m.PodSelector, all.Pods)
	}
	return all
}

// hash names a pair, so that an entry keeps its name whatever comes and goes beside it.
func (p pair) hash() string {
	// Selectors always marshal, with their maps in order.
	b, _ := json.Marshal(p)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:5])
}

// failurePolicyOf is what happens to a policy's pods when nobody answers.
func failurePolicyOf(p *v1alpha1.IsolationPolicy) admissionregistrationv1.FailurePolicyType {
	if p.Spec.Admission.Action == v1alpha1.Deny {
		return admissionregistrationv1.Fail
	}
	return admissionregistrationv1.Ignore
}

func nameOf(p pair, f admissionregistrationv1.FailurePolicyType) string {
	prefix := "ask-"
	if f == admissionregistrationv1.Fail {
		prefix = "deny-"
	}
	return prefix + p.hash() + ".pods.bulkhead.dev"
}

// webhookEntries are the entries of the configuration for these policies. Policies that cannot be
// compiled have none: the API server would refuse their selectors, and nobody judges by them.
func webhookEntries(policies []v1alpha1.IsolationPolicy, o webhookOptions) []admissionregistrationv1.ValidatingWebhook {
	byName := make(map[string]admissionregistrationv1.ValidatingWebhook)
	for i := range policies {
		p := &policies[i]
		if _, err := isolation.Compile(p); err != nil {
			continue
		}
		match, failure := pairOf(p), failurePolicyOf(p)
		byName[nameOf(match, failure)] = o.podEntry(match, failure)
	}
	entries := []admissionregistrationv1.ValidatingWebhook{o.policyEntry()}
	for name, e := range byName {
		_, closed := byName[deniesToo(name)]
		if *e.FailurePolicy == admissionregistrationv1.Fail || !closed {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b admissionregistrationv1.ValidatingWebhook) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}

// deniesToo is the name that an entry would have for a Deny policy with the same selectors.
func deniesToo(name string) string {
	_, rest, _ := strings.Cut(name, "-")
	return "deny-" + rest
}

// entryNames are the entries that ask about a policy's pods: one of them is enough.
func entryNames(p *v1alpha1.IsolationPolicy) []string {
	name := nameOf(pairOf(p), failurePolicyOf(p))
	return slices.Compact([]string{name, deniesToo(name)})
}

func (o *webhookOptions) podEntry(match pair, failure admissionregistrationv1.FailurePolicyType) admissionregistrationv1.ValidatingWebhook {
	e := o.entry(nameOf(match, failure), v1alpha1.PodWebhookPath, failure)
	e.NamespaceSelector = match.Namespaces.DeepCopy()
	if len(o.excluded) > 0 {
		e.NamespaceSelector.MatchExpressions = append(e.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: o.excluded,
		})
	}
	// For an ephemeral container the object is the pod, with its labels: they cannot have been
	// changed by that request.
	e.ObjectSelector = match.Pods.DeepCopy()
	pods := func(resource string, operation admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
		return admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{operation},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource},
				Scope: ptr.To(admissionregistrationv1.NamespacedScope),
			},
		}
	}
	// Nothing that is judged is mutable on pods themselves: an entry for their UPDATE would only
	// be in the way of finalizers and status.
	e.Rules = []admissionregistrationv1.RuleWithOperations{
		pods("pods", admissionregistrationv1.Create),
		pods("pods/ephemeralcontainers", admissionregistrationv1.Update),
	}
	return e
}

// policyEntry is never asked about deletions: taking a policy away must always be possible.
func (o *webhookOptions) policyEntry() admissionregistrationv1.ValidatingWebhook {
	e := o.entry(policyEntry, v1alpha1.PolicyWebhookPath, admissionregistrationv1.Fail)
	e.NamespaceSelector, e.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
	e.Rules = []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{v1alpha1.Group}, APIVersions: []string{v1alpha1.GroupVersion.Version},
			Resources: []string{"isolationpolicies"}, Scope: ptr.To(admissionregistrationv1.ClusterScope),
		},
	}}
	return e
}

// entry is complete, with all that the API server would fill in: what stands can be compared.
func (o *webhookOptions) entry(name, path string, failure admissionregistrationv1.FailurePolicyType) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: name,
		ClientConfig: admissionregistrationv1.WebhookClientConfig{
			Service: &admissionregistrationv1.ServiceReference{
				Namespace: o.namespace, Name: v1alpha1.WebhookServiceName, Path: ptr.To(path), Port: ptr.To[int32](443),
			},
			CABundle: o.caBundle,
		},
		FailurePolicy:           ptr.To(failure),
		MatchPolicy:             ptr.To(admissionregistrationv1.Equivalent),
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To[int32](webhookTimeout),
		AdmissionReviewVersions: []string{"v1"},
	}
}
