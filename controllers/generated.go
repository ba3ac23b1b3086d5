// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// generated is what the API server evaluates for one policy; nil is what does not stand.
type generated struct {
	Policy  *admissionregistrationv1.ValidatingAdmissionPolicy
	Binding *admissionregistrationv1.ValidatingAdmissionPolicyBinding
}

// managed is on everything that is generated.
var managed = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}

// GeneratedCache narrows the manager's caches of ValidatingAdmissionPolicies and of their bindings to
// those that are generated here. It belongs into cache.Options.ByObject, for both kinds.
func GeneratedCache() cache.ByObject {
	return cache.ByObject{Label: labels.SelectorFromSet(managed)}
}

// none tells that nothing stands.
func (g generated) none() bool { return g.Policy == nil && g.Binding == nil }

// whole tells that both stand, and are not on their way out: one without the other enforces nothing.
func (g generated) whole() bool {
	return g.Policy != nil && g.Binding != nil && g.Policy.DeletionTimestamp == nil && g.Binding.DeletionTimestamp == nil
}

// like tells whether both stand as they should.
func (g generated) like(want generated) bool {
	return g.whole() && want.whole() && repaired(g.Policy, want.Policy) == nil && repaired(g.Binding, want.Binding) == nil
}

// observed tells whether kube-controller-manager has checked the types of the policy's expressions as
// it stands; it does so within a moment.
func (g generated) observed() bool {
	return g.Policy != nil && g.Policy.Status.ObservedGeneration == g.Policy.Generation
}

// warnings are what it found: an expression that it warns of fails at run time.
func (g generated) warnings() []string {
	if !g.observed() || g.Policy.Status.TypeChecking == nil {
		return nil
	}
	var out []string
	for _, w := range g.Policy.Status.TypeChecking.ExpressionWarnings {
		out = append(out, isolation.Sanitize(w.FieldRef+": "+w.Warning, 512))
	}
	return out
}

// state is the same while both stand as they are.
func (g generated) state() string {
	return fmt.Sprintf("%s/%d %s/%d", g.Policy.UID, g.Policy.Generation, g.Binding.UID, g.Binding.Generation)
}

// owner is the IsolationPolicy that one of them says it belongs to; nil if it names none.
func (g generated) owner() *metav1.OwnerReference {
	var refs []metav1.OwnerReference
	if g.Policy != nil {
		refs = append(refs, g.Policy.OwnerReferences...)
	}
	if g.Binding != nil {
		refs = append(refs, g.Binding.OwnerReferences...)
	}
	at := slices.IndexFunc(refs, func(r metav1.OwnerReference) bool {
		group, _, _ := strings.Cut(r.APIVersion, "/")
		return r.Kind == "IsolationPolicy" && group == v1alpha1.Group
	})
	if at < 0 {
		return nil
	}
	return &refs[at]
}

// repaired is what stands as it should be; nil if it already is. Labels and annotations that others
// put there stay. Owners do not: with another one, it could be collected as garbage.
func repaired[T client.Object](stands, want T) client.Object {
	out := stands.DeepCopyObject().(client.Object)
	out.SetLabels(with(out.GetLabels(), want.GetLabels()))
	out.SetAnnotations(with(out.GetAnnotations(), want.GetAnnotations()))
	out.SetOwnerReferences(want.GetOwnerReferences())
	switch o := out.(type) {
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		o.Spec = any(want).(*admissionregistrationv1.ValidatingAdmissionPolicy).Spec
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		o.Spec = any(want).(*admissionregistrationv1.ValidatingAdmissionPolicyBinding).Spec
	}
	if equality.Semantic.DeepEqual(any(stands), any(out)) {
		return nil
	}
	return out
}

func with(has, add map[string]string) map[string]string {
	out := maps.Clone(has)
	if out == nil && len(add) > 0 {
		out = make(map[string]string, len(add))
	}
	maps.Copy(out, add)
	return out
}

// gatherGenerated reads what is generated, by name: a policy and its binding are named alike.
func gatherGenerated(ctx context.Context, c client.Reader) (map[string]generated, error) {
	out := make(map[string]generated)
	var policies admissionregistrationv1.ValidatingAdmissionPolicyList
	if err := c.List(ctx, &policies, client.MatchingLabels(managed), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list ValidatingAdmissionPolicies: %w", err)
	}
	for i := range policies.Items {
		out[policies.Items[i].Name] = generated{Policy: &policies.Items[i]}
	}
	var bindings admissionregistrationv1.ValidatingAdmissionPolicyBindingList
	if err := c.List(ctx, &bindings, client.MatchingLabels(managed), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list ValidatingAdmissionPolicyBindings: %w", err)
	}
	for i := range bindings.Items {
		g := out[bindings.Items[i].Name]
		g.Binding = &bindings.Items[i]
		out[bindings.Items[i].Name] = g
	}
	return out, nil
}

// orphans are the names of what belongs to a policy that is not among those given. What is named after
// one of them is not, whatever it says: it is about to be repaired. What names no IsolationPolicy as
// its owner is somebody else's, who made it with `bulkhead compile`.
func orphans(all map[string]generated, policies []v1alpha1.IsolationPolicy, name func(*v1alpha1.IsolationPolicy) string) []string {
	exist, named := make(uids, len(policies)), make(map[string]bool, len(policies))
	for i := range policies {
		exist[policies[i].UID], named[name(&policies[i])] = true, true
	}
	var out []string
	for name, g := range all {
		if owner := g.owner(); owner != nil && !exist[owner.UID] && !named[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
