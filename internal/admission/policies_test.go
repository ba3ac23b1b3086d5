// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// populated is a cluster whose pods are known.
type populated interface {
	client.Reader
	all(context.Context) ([]*ledger.Pod, error)
}

func policiesOf(cached populated) *policyHandler {
	return &policyHandler{
		clock: clocktesting.NewFakePassiveClock(today), log: logr.Discard(),
		expressible: func(*v1alpha1.IsolationPolicy) error { return nil }, pods: population{cached: cached, pods: cached.all},
		mayEvict: func(context.Context) (bool, error) { return false, nil },
	}
}

func reviewPolicy(t *testing.T, edit func(*admissionv1.AdmissionRequest), p *v1alpha1.IsolationPolicy) *admissionv1.AdmissionResponse {
	t.Helper()
	h := policiesOf(nobody{})
	p.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "IsolationPolicy"}
	r := admissionv1.AdmissionRequest{
		UID:       "1",
		Operation: admissionv1.Create, Object: raw(t, p),
		Resource: metav1.GroupVersionResource{Group: v1alpha1.Group, Version: "v1alpha1", Resource: "isolationpolicies"},
	}
	if edit != nil {
		edit(&r)
	}
	return ask(t, h, r)
}

func TestRefusesAPolicyThatDoesNotCompileAndTellsEveryField(t *testing.T) {
	g := NewWithT(t)
	r := reviewPolicy(t, nil, policyOf("p", v1alpha1.Deny, uncompilable, func(s *v1alpha1.IsolationPolicySpec) {
		s.Match.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "not a value"}}
	}))
	g.Expect(r.Allowed).To(BeFalse())
	g.Expect(r.Result.Reason).To(Equal(metav1.StatusReasonInvalid))
	g.Expect(r.Result.Code).To(BeEquivalentTo(http.StatusUnprocessableEntity))
	g.Expect(strings.Split(r.Result.Message, "\n")).To(HaveExactElements(
		And(ContainSubstring("spec.match.namespaceSelector"), ContainSubstring("Resembles")),
		And(ContainSubstring("spec.match.podSelector"), ContainSubstring("not a value")),
	))
}

func TestADeletionOfAPolicyIsNeverRefused(t *testing.T) {
	expectAllowed(t, reviewPolicy(t, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.OldObject, r.Object.Raw = admissionv1.Delete, r.Object, nil
	}, policyOf("p", v1alpha1.Deny, uncompilable)))
}

func TestAnUpdateThatLeavesTheSpecAloneIsNotRefused(t *testing.T) {
	g := NewWithT(t)
	stored := policyOf("p", v1alpha1.Deny, uncompilable)
	update := func(r *admissionv1.AdmissionRequest) { r.Operation, r.OldObject = admissionv1.Update, raw(t, stored) }
	labelled := stored.DeepCopy()
	labelled.Labels = map[string]string{"seen": "yes"}
	expectAllowed(t, reviewPolicy(t, update, labelled))

	edited := stored.DeepCopy()
	edited.Spec.Admission.Action = v1alpha1.Warn
	g.Expect(reviewPolicy(t, update, edited).Allowed).To(BeFalse())
	unreadable := func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.OldObject.Raw = admissionv1.Update, []byte(`{"spec":[]}`)
	}
	g.Expect(reviewPolicy(t, unreadable, labelled).Allowed).To(BeFalse())
}

func TestRefusesWhatIsNoPolicy(t *testing.T) {
	for name, edit := range map[string]func(*admissionv1.AdmissionRequest){
		"another resource":     func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "pods" },
		"another group":        func(r *admissionv1.AdmissionRequest) { r.Resource.Group = "example.com" },
		"a subresource":        func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" },
		"another operation":    func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Connect },
		"no object":            func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil },
		"an object of a kind":  func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"apiVersion":"v1","kind":"Pod"}`) },
		"something else again": func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`[]`) },
	} {
		t.Run(name, func(t *testing.T) {
			r := reviewPolicy(t, edit, policyOf("p", v1alpha1.Deny))
			NewWithT(t).Expect(r.Allowed).To(BeFalse())
			NewWithT(t).Expect(r.Result.Code).To(BeEquivalentTo(http.StatusBadRequest))
		})
	}
}

func TestTellsTheAuthorOfAPolicyWhatToKnow(t *testing.T) {
	everything := v1alpha1.Exemption{
		Name: "all", Namespaces: []string{"infra"}, ServiceAccounts: []string{"root"},
		Isolation: &v1alpha1.Isolation{PID: "Host", Network: "Host", IPC: "Host", UTS: "Host"},
		Portals: &v1alpha1.ExemptPortals{
			Privileged: v1alpha1.PortalAllow,
			HostPaths:  &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/"}}},
			HostPorts:  &v1alpha1.HostPortsPortal{Allow: []v1alpha1.PortRange{{From: 1, To: 65535}}},
		},
	}
	writable := `spec.exemptions[0].portals.hostPaths.allow[0]: pods may write below "/"`
	for name, c := range map[string]struct {
		edit func(*v1alpha1.IsolationPolicySpec)
		want []string
	}{
		"nothing about a sound one": {func(*v1alpha1.IsolationPolicySpec) {}, nil},
		"nothing about an empty selector": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{}}
		}, nil},
		"that pods choose their labels": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}
		}, []string{"spec.match.podSelector: whoever creates a pod"}},
		"that a writable path can be linked out of": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Portals.HostPaths.Allow = []v1alpha1.AllowedHostPath{{PathPrefix: "/var/log", ReadOnly: true}, {PathPrefix: "/data"}}
		}, []string{`spec.portals.hostPaths.allow[1]: pods may write below "/data"`}},
		"that nothing evicts yet": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Runtime.Action = v1alpha1.Evict
		}, []string{"spec.runtime.action: the manager may not evict pods, and only reports until config/components/eviction is installed"}},
		"that an exemption is over": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Exemptions = []v1alpha1.Exemption{{
				Name: "old", Namespaces: []string{"infra"}, Isolation: &v1alpha1.Isolation{PID: "Host"}, Expires: &metav1.Time{Time: today},
			}, {
				Name: "new", Namespaces: []string{"infra"}, Isolation: &v1alpha1.Isolation{PID: "Host"}, Expires: &metav1.Time{Time: today.Add(time.Second)},
			}}
		}, []string{`spec.exemptions[0].expires: exemption "old" expired at 2027-03-01T12:00:00Z`}},
		"that an exemption leaves nothing": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Exemptions = []v1alpha1.Exemption{everything}
		}, []string{writable, `spec.exemptions[0]: exemption "all" opens everything that this policy demands: pods that it covers in infra`}},
		"not that one leaves nothing which leaves something": {func(s *v1alpha1.IsolationPolicySpec) {
			most := everything
			most.Isolation = &v1alpha1.Isolation{PID: "Host", Network: "Host", IPC: "Host"}
			s.Exemptions = []v1alpha1.Exemption{most}
		}, []string{writable}},
		"not that one leaves nothing where one thing is demanded": {func(s *v1alpha1.IsolationPolicySpec) {
			s.Portals, s.Isolation = nil, &v1alpha1.Isolation{User: "Pod"}
			s.Exemptions = []v1alpha1.Exemption{{Name: "u", Namespaces: []string{"infra"}, Isolation: &v1alpha1.Isolation{User: "Host"}}}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := reviewPolicy(t, nil, policyOf("p", v1alpha1.Deny, c.edit))
			expectAllowed(t, r)
			g.Expect(r.Warnings).To(HaveLen(len(c.want)), "%v", r.Warnings)
			for i, w := range c.want {
				g.Expect(r.Warnings[i]).To(HavePrefix(w))
			}
		})
	}
}

func TestWhetherPodsCanBeEvictedStandsInNobodysWay(t *testing.T) {
	for name, answer := range map[string]func(context.Context) (bool, error){
		"they can":       func(context.Context) (bool, error) { return true, nil },
		"nobody can say": func(context.Context) (bool, error) { return false, errors.New("the API server is busy") },
	} {
		t.Run(name, func(t *testing.T) {
			h := policiesOf(nobody{})
			h.mayEvict = answer
			NewWithT(t).Expect(h.unarmed(t.Context(), policyOf("p", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) { s.Runtime.Action = v1alpha1.Evict }))).To(BeEmpty())
		})
	}
}

func TestCaveatsAreBounded(t *testing.T) {
	r := reviewPolicy(t, nil, policyOf("p", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		for range 64 {
			s.Portals.HostPaths.Allow = append(s.Portals.HostPaths.Allow, v1alpha1.AllowedHostPath{PathPrefix: "/" + strings.Repeat("x", 1000)})
		}
	}))
	expectAllowed(t, r)
	NewWithT(t).Expect(len(strings.Join(r.Warnings, ""))).To(BeNumerically("<=", 4096))
	NewWithT(t).Expect(r.Warnings[len(r.Warnings)-1]).To(HavePrefix("... and"))
}

// nobody is a cluster without pods.
type nobody struct{ client.Reader }

func (nobody) all(context.Context) ([]*ledger.Pod, error) { return nil, nil }

func (nobody) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }
