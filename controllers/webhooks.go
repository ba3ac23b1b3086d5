// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// webhookTimeout is how long the API server waits for an answer, in seconds. A judgement takes less
// than a millisecond; the rest is for a connection to a replica that went away a moment ago, which
// is tried again after one second and then after three.
const webhookTimeout = 5

const (
	// policyEntry asks about policies.
	policyEntry = "policies.bulkhead.dev"
	// podEntries end so. They begin with "deny-", where nobody may pass unjudged, or with "flag-".
	podEntries = ".pods.bulkhead.dev"
)

// webhookOptions say where the webhook is, and whose pods it is not asked about.
type webhookOptions struct {
	// Namespace of the webhook's Service.
	Namespace string
	// Excluded are namespaces, in order, each once.
	Excluded []string
}

// newWebhookOptions puts the installation's own namespace among the excluded ones, whatever else is:
// a webhook that fails closed must not stand in the way of its own pods.
func newWebhookOptions(namespace string, excluded []string) *webhookOptions {
	all := append([]string{namespace}, excluded...)
	slices.Sort(all)
	return &webhookOptions{Namespace: namespace, Excluded: slices.Compact(all)}
}

// webhookConfiguration is what the API server is to be told: whom to ask about which pods. It is
// pure, and the same for the same policies in any order.
//
// There is an entry per distinct pair of selectors. An entry of a Deny policy refuses if nobody
// answers. One of Warn and Audit policies lets pass; it is left out if a Deny policy has the same
// pair, for every call judges all policies. A policy that does not compile has no entry; one that is
// being deleted keeps its own until it is gone.
func webhookConfiguration(policies []v1alpha1.IsolationPolicy, caBundle []byte, o *webhookOptions) *admissionregistrationv1.ValidatingWebhookConfiguration {
	pairs := make(map[string]*v1alpha1.IsolationPolicy)
	for i := range policies {
		p := &policies[i]
		compiled, err := isolation.Compile(p)
		if err != nil {
			continue
		}
		key := pairOf(compiled)
		if before, ok := pairs[key]; !ok || denies(p) && !denies(before) || denies(p) == denies(before) && p.Name < before.Name {
			pairs[key] = p
		}
	}
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{
			Name: v1alpha1.WebhookConfigurationName,
			Labels: map[string]string{
				"app.kubernetes.io/name": "bulkhead", "app.kubernetes.io/managed-by": "bulkhead-manager",
			},
		},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{policyWebhook(caBundle, o)},
	}
	for key, p := range pairs {
		out.Webhooks = append(out.Webhooks, podWebhook(key, p, caBundle, o))
	}
	slices.SortFunc(out.Webhooks, func(a, b admissionregistrationv1.ValidatingWebhook) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func denies(p *v1alpha1.IsolationPolicy) bool { return p.Spec.Admission.Action == v1alpha1.Deny }

// pairOf is the same for policies that select the same pods by the same selectors, in any order.
func pairOf(p *isolation.Policy) string {
	text := func(s labels.Selector) string {
		if s == nil {
			return ""
		}
		return s.String()
	}
	return text(p.NamespaceSelector) + "\n" + text(p.PodSelector)
}

// entryName is the name of the entry for a pair.
func entryName(pair string, deny bool) string {
	sum := sha256.Sum256([]byte(pair))
	prefix := "flag-"
	if deny {
		prefix = "deny-"
	}
	return prefix + hex.EncodeToString(sum[:6]) + podEntries
}

// podWebhook asks about pods that one pair of selectors selects.
//
// Ephemeral containers come by an update of their subresource alone. What the API server compares
// the objectSelector with there is the whole pod, the old and the new one, and an update of the
// subresource cannot change labels. The other updates of pods change nothing that is judged, and an
// entry that fails closed would keep finalizers from being removed.
func podWebhook(pair string, p *v1alpha1.IsolationPolicy, caBundle []byte, o *webhookOptions) admissionregistrationv1.ValidatingWebhook {
	w := webhook(entryName(pair, denies(p)), v1alpha1.PodWebhookPath, caBundle, o)
	if !denies(p) {
		w.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	}
	match := ptr.Deref(p.Spec.Match, v1alpha1.PolicyMatch{})
	w.NamespaceSelector = canonical(match.NamespaceSelector)
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: slices.Clone(o.Excluded),
	})
	w.ObjectSelector = canonical(match.PodSelector)
	namespaced := ptr.To(admissionregistrationv1.NamespacedScope)
	w.Rules = []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: namespaced,
		},
	}, {
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/ephemeralcontainers"}, Scope: namespaced,
		},
	}}
	return w
}

// policyWebhook asks about policies, never about their deletion: whoever wants to be rid of a
// policy that stands in the way must not depend on the webhook.
func policyWebhook(caBundle []byte, o *webhookOptions) admissionregistrationv1.ValidatingWebhook {
	w := webhook(policyEntry, v1alpha1.PolicyWebhookPath, caBundle, o)
	w.Rules = []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{v1alpha1.Group}, APIVersions: []string{v1alpha1.GroupVersion.Version},
			Resources: []string{"isolationpolicies"}, Scope: ptr.To(admissionregistrationv1.ClusterScope),
		},
	}}
	return w
}

// webhook is an entry with everything that an API server would fill in filled in, so that what
// stands can be compared with it.
func webhook(name, path string, caBundle []byte, o *webhookOptions) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: name,
		ClientConfig: admissionregistrationv1.WebhookClientConfig{
			Service: &admissionregistrationv1.ServiceReference{
				Namespace: o.Namespace, Name: v1alpha1.WebhookServiceName, Path: ptr.To(path), Port: ptr.To[int32](443),
			},
			CABundle: caBundle,
		},
		FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
		MatchPolicy:             ptr.To(admissionregistrationv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To[int32](webhookTimeout),
		AdmissionReviewVersions: []string{"v1"},
	}
}

// canonical is a copy of a selector with its expressions in order; empty if there is none.
func canonical(s *metav1.LabelSelector) *metav1.LabelSelector {
	if s == nil {
		return &metav1.LabelSelector{}
	}
	c := s.DeepCopy()
	for i := range c.MatchExpressions {
		slices.Sort(c.MatchExpressions[i].Values)
	}
	slices.SortFunc(c.MatchExpressions, func(a, b metav1.LabelSelectorRequirement) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Operator, b.Operator), slices.Compare(a.Values, b.Values))
	})
	return c
}

// asked are the pairs of selectors for which the API server has been told to ask.
type asked map[string]bool

// whom tells whether the API server asks about the pods that the policy matches.
func (a asked) whom(p *isolation.Policy) bool { return a[pairOf(p)] }

// askedFor compares what stands with what should: for which pairs the entry is there as it should
// be. Which authority it trusts is not compared, only that it names one.
func askedFor(policies []v1alpha1.IsolationPolicy, stands *admissionregistrationv1.ValidatingWebhookConfiguration, o *webhookOptions) asked {
	out := asked{}
	if stands == nil {
		return out
	}
	found := make(map[string]*admissionregistrationv1.ValidatingWebhook, len(stands.Webhooks))
	for i := range stands.Webhooks {
		found[stands.Webhooks[i].Name] = &stands.Webhooks[i]
	}
	wanted := make(map[string]admissionregistrationv1.ValidatingWebhook)
	for _, w := range webhookConfiguration(policies, nil, o).Webhooks {
		wanted[w.Name] = w
	}
	for i := range policies {
		compiled, err := isolation.Compile(&policies[i])
		if err != nil {
			continue
		}
		pair := pairOf(compiled)
		for _, deny := range []bool{true, false} {
			name := entryName(pair, deny)
			want, ok := wanted[name]
			have := found[name]
			if !ok || have == nil || len(have.ClientConfig.CABundle) == 0 {
				continue
			}
			want.ClientConfig.CABundle = have.ClientConfig.CABundle
			out[pair] = equality.Semantic.DeepEqual(*have, want)
		}
	}
	return out
}
