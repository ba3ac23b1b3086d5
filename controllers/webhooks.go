// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// templateTimeout is how long it waits for a warning.
const templateTimeout = 2

// webhookTimeout is how long the API server waits for an answer, in seconds. A judgement takes less
// than a millisecond; the rest is for a connection to a replica that went away a moment ago, which
// is tried again after one second and then after three.
const webhookTimeout = 5

const (
	// policyEntry asks about policies.
	policyEntry = "policies.bulkhead.dev"
	// templateEntry asks about the workloads that pods come from.
	templateEntry = "templates.bulkhead.dev"
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

// newWebhookOptions are those of an installation in that namespace.
func newWebhookOptions(namespace string, excluded []string) *webhookOptions {
	return &webhookOptions{Namespace: namespace, Excluded: v1alpha1.ExcludedNamespaces(namespace, excluded)}
}

// webhookConfiguration is what the API server is to be told: whom to ask about which pods. It is
// pure, and the same for the same policies in any order.
//
// There is an entry per distinct pair of selectors. An entry of a Deny policy refuses if nobody
// answers. One of Warn and Audit policies lets pass; it is left out if a Deny policy has the same
// pair, for every call judges all policies. A policy that does not compile has no entry, nor has one
// that needs none (without): the API server evaluates it itself. One that is being deleted keeps its
// own until it is gone.
func webhookConfiguration(policies []v1alpha1.IsolationPolicy, without uids, caBundle []byte, o *webhookOptions) *admissionregistrationv1.ValidatingWebhookConfiguration {
	pairs := make(map[string]*v1alpha1.IsolationPolicy)
	served := false
	for i := range policies {
		p := &policies[i]
		compiled, err := isolation.Compile(p)
		if err != nil {
			continue
		}
		served = true
		if without[p.UID] {
			continue
		}
		key := compiled.Selection
		if before, ok := pairs[key]; !ok || denies(p) && !denies(before) || denies(p) == denies(before) && p.Name < before.Name {
			pairs[key] = p
		}
	}
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{
			Name: v1alpha1.WebhookConfigurationName,
			Labels: map[string]string{
				"app.kubernetes.io/name": "bulkhead", v1alpha1.ManagedByLabel: v1alpha1.ManagedBy,
			},
		},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{policyWebhook(caBundle, o)},
	}
	if served {
		out.Webhooks = append(out.Webhooks, templateWebhook(caBundle, o))
	}
	for key, p := range pairs {
		out.Webhooks = append(out.Webhooks, podWebhook(key, denies(p), p, caBundle, o))
	}
	slices.SortFunc(out.Webhooks, func(a, b admissionregistrationv1.ValidatingWebhook) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func denies(p *v1alpha1.IsolationPolicy) bool { return p.Spec.Admission.Action == v1alpha1.Deny }

// entryName is the name of the entry for a pair of selectors.
func entryName(pair string, deny bool) string {
	prefix := "flag-"
	if deny {
		prefix = "deny-"
	}
	return prefix + pair + podEntries
}

// podWebhook asks about pods that one pair of selectors selects. The path tells which: the API server
// may know newer labels of a namespace than the replica that it asks.
//
// Ephemeral containers come by an update of their subresource alone. What the API server compares
// the objectSelector with there is the whole pod, the old and the new one, and an update of the
// subresource cannot change labels. The other updates of pods change nothing that is judged, and an
// entry that fails closed would keep finalizers from being removed.
func podWebhook(pair string, deny bool, p *v1alpha1.IsolationPolicy, caBundle []byte, o *webhookOptions) admissionregistrationv1.ValidatingWebhook {
	w := webhook(entryName(pair, deny), v1alpha1.PodWebhookPath+"/"+pair, caBundle, o)
	if !deny {
		w.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	}
	match := ptr.Deref(p.Spec.Match, v1alpha1.PolicyMatch{})
	w.NamespaceSelector = outside(o, match.NamespaceSelector)
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
// policy that stands in the way must not depend on the webhook. Nor must who changes no spec: the
// garbage collector and whoever labels.
func policyWebhook(caBundle []byte, o *webhookOptions) admissionregistrationv1.ValidatingWebhook {
	w := webhook(policyEntry, v1alpha1.PolicyWebhookPath, caBundle, o)
	w.Rules = []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{v1alpha1.Group}, APIVersions: []string{v1alpha1.GroupVersion.Version},
			Resources: []string{"isolationpolicies"}, Scope: ptr.To(admissionregistrationv1.ClusterScope),
		},
	}}
	w.MatchConditions = []admissionregistrationv1.MatchCondition{{
		Name: "spec-changes", Expression: `request.operation == "CREATE" || object.?spec != oldObject.?spec`,
	}}
	return w
}

// templateWebhook asks about the workloads that people apply, so that they are warned before a
// controller creates pods in their name. Who is asked can only warn: without an answer they pass.
// What a controller makes, the ReplicaSets of Deployments above all, would only tell it a log.
func templateWebhook(caBundle []byte, o *webhookOptions) admissionregistrationv1.ValidatingWebhook {
	w := webhook(templateEntry, v1alpha1.TemplateWebhookPath, caBundle, o)
	w.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	w.TimeoutSeconds = ptr.To[int32](templateTimeout)
	w.NamespaceSelector = outside(o, nil)
	for _, resource := range isolation.Workloads() {
		if last := len(w.Rules) - 1; last >= 0 && w.Rules[last].APIGroups[0] == resource.Group {
			w.Rules[last].Resources = append(w.Rules[last].Resources, resource.Resource)
			continue
		}
		w.Rules = append(w.Rules, admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{resource.Group}, APIVersions: []string{resource.Version}, Resources: []string{resource.Resource},
				Scope: ptr.To(admissionregistrationv1.NamespacedScope),
			},
		})
	}
	w.MatchConditions = []admissionregistrationv1.MatchCondition{{
		Name:       "no-controller-made-it",
		Expression: `!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))`,
	}, {
		Name: "template-changes",
		Expression: `request.operation == "CREATE" || object.?template != oldObject.?template || ` +
			`object.?spec.?template != oldObject.?spec.?template || object.?spec.?jobTemplate != oldObject.?spec.?jobTemplate`,
	}}
	return w
}

// outside is a selector of namespaces without the excluded ones.
func outside(o *webhookOptions, s *metav1.LabelSelector) *metav1.LabelSelector {
	out := canonical(s)
	out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: slices.Clone(o.Excluded),
	})
	return out
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

// asked is what the API server has been told, by the names of the entries.
type asked struct {
	entries map[string]*admissionregistrationv1.ValidatingWebhook
	options *webhookOptions
}

// askedFor reads what stands; nil if nothing does.
func askedFor(stands *admissionregistrationv1.ValidatingWebhookConfiguration, o *webhookOptions) asked {
	a := asked{options: o}
	if stands == nil {
		return a
	}
	a.entries = make(map[string]*admissionregistrationv1.ValidatingWebhook, len(stands.Webhooks))
	for i := range stands.Webhooks {
		a.entries[stands.Webhooks[i].Name] = &stands.Webhooks[i]
	}
	return a
}

// whom tells whether the API server asks about the pods that the policy matches, and refuses them if
// the policy denies and nobody answers. An entry that is not as it should be does not count.
func (a asked) whom(p *v1alpha1.IsolationPolicy, compiled *isolation.Policy) bool {
	pair := compiled.Selection
	return a.as(pair, true, p) || !denies(p) && a.as(pair, false, p)
}

// as tells whether an entry stands as it should. Which authority it trusts is not compared, only that
// it names one.
func (a asked) as(pair string, deny bool, p *v1alpha1.IsolationPolicy) bool {
	have := a.entries[entryName(pair, deny)]
	if have == nil || len(have.ClientConfig.CABundle) == 0 {
		return false
	}
	return equality.Semantic.DeepEqual(*have, podWebhook(pair, deny, p, have.ClientConfig.CABundle, a.options))
}
