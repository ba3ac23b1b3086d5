// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"slices"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// object is the ValidatingAdmissionPolicy of what was written.
func (c *compiler) object(o Options) *admissionregistrationv1.ValidatingAdmissionPolicy {
	failure := admissionregistrationv1.Ignore
	if c.policy.Spec.Admission.Action == v1alpha1.Deny {
		failure = admissionregistrationv1.Fail
	}
	return &admissionregistrationv1.ValidatingAdmissionPolicy{
		TypeMeta: metav1.TypeMeta{
			APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy",
		},
		ObjectMeta: meta(c.policy),
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: constraints(c.policy.Spec.Match, o.ExcludedNamespaces),
			MatchConditions:  []admissionregistrationv1.MatchCondition{{Name: asksName, Expression: c.asks()}},
			Variables:        c.variables,
			Validations: []admissionregistrationv1.Validation{{
				Expression:        valid,
				MessageExpression: "variables.message",
				Message:           headline(c.policy) + "the reasons could not be put into words",
				Reason:            ptr.To(metav1.StatusReasonForbidden),
			}},
			AuditAnnotations: []admissionregistrationv1.AuditAnnotation{
				{Key: auditViolations, ValueExpression: "variables.message"},
				{Key: auditMirror, ValueExpression: mirrorAnnotation},
			},
			FailurePolicy: ptr.To(failure),
		},
	}
}

func binding(p *v1alpha1.IsolationPolicy) *admissionregistrationv1.ValidatingAdmissionPolicyBinding {
	return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		TypeMeta: metav1.TypeMeta{
			APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding",
		},
		ObjectMeta: meta(p),
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: Name(p),
			// The actions have the names that the API server has for them.
			ValidationActions: []admissionregistrationv1.ValidationAction{
				admissionregistrationv1.ValidationAction(p.Spec.Admission.Action),
			},
		},
	}
}

func meta(p *v1alpha1.IsolationPolicy) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Name:        Name(p),
		Labels:      map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy},
		Annotations: map[string]string{v1alpha1.AnnotationGeneration: strconv.FormatInt(p.Generation, 10)},
	}
	if p.UID != "" {
		m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(p, v1alpha1.GroupVersion.WithKind("IsolationPolicy"))}
	}
	return m
}

// constraints say which requests are judged: those by which a pod gets containers. Nothing else that
// is judged can be changed, so nothing else is in the way of finalizers, labels, status and resizes.
func constraints(m *v1alpha1.PolicyMatch, excluded []string) *admissionregistrationv1.MatchResources {
	r := &admissionregistrationv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{},
		ObjectSelector:    &metav1.LabelSelector{},
		ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{
			rule("pods", admissionregistrationv1.Create),
			rule("pods/ephemeralcontainers", admissionregistrationv1.Update),
		},
		MatchPolicy: ptr.To(admissionregistrationv1.Equivalent),
	}
	if m != nil && m.NamespaceSelector != nil {
		r.NamespaceSelector = m.NamespaceSelector.DeepCopy()
	}
	if m != nil && m.PodSelector != nil {
		r.ObjectSelector = m.PodSelector.DeepCopy()
	}
	if len(excluded) > 0 {
		r.NamespaceSelector.MatchExpressions = append(r.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: slices.Sorted(slices.Values(excluded)),
		})
	}
	return r
}

func rule(resource string, operation admissionregistrationv1.OperationType) admissionregistrationv1.NamedRuleWithOperations {
	return admissionregistrationv1.NamedRuleWithOperations{
		RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{operation},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource},
				Scope: ptr.To(admissionregistrationv1.NamespacedScope),
			},
		},
	}
}
