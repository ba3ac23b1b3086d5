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
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestRefusesWithEveryViolationOfEveryDenyPolicy(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("a-tenants", v1alpha1.Deny)), compile(t, policyOf("b-users", v1alpha1.Deny,
		func(s *v1alpha1.IsolationPolicySpec) { s.Isolation = &v1alpha1.Isolation{User: "Pod"}; s.Portals = nil })))
	resp := ask(t, h, creation(t, podOf(hostPID, hostNetwork)))
	g.Expect(resp.Allowed).To(BeFalse())
	g.Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusForbidden))
	g.Expect(resp.Result.Reason).To(Equal(metav1.StatusReasonForbidden))
	g.Expect(strings.Split(resp.Result.Message, "\n")).To(HaveExactElements(
		Equal(`pod "web" asks for less isolation than is required:`),
		Equal("policy a-tenants: pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false"),
		HavePrefix("policy a-tenants: network: spec.hostNetwork is true"),
		HavePrefix("policy a-tenants: uts: spec.hostNetwork is true"),
		Equal("policy b-users: user: spec.hostUsers is <unset> and claims Host, Pod is required: set it to false"),
	))
	g.Expect(resp.AuditAnnotations).To(HaveKeyWithValue(auditViolations, ContainSubstring("policy b-users: user")))
	g.Expect(testutil.ToFloat64(h.metrics.reviews.WithLabelValues(resourcePods, verdictDenied))).To(BeEquivalentTo(1))
}

func TestWarnsBesideARefusal(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("deny", v1alpha1.Deny)), compile(t, policyOf("warn", v1alpha1.Warn)))
	resp := ask(t, h, creation(t, podOf(hostPID)))
	g.Expect(resp.Allowed).To(BeFalse())
	g.Expect(resp.Result.Message).NotTo(ContainSubstring("policy warn"))
	g.Expect(resp.Warnings).To(ConsistOf(HavePrefix("bulkhead: policy warn: pid: spec.hostPID is true")))
}

func TestAdmitsWhatOnlyWarnAndAuditPoliciesForbid(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("audit", v1alpha1.Audit)), compile(t, policyOf("warn", v1alpha1.Warn)))
	resp := ask(t, h, creation(t, podOf(hostPID)))
	expectAllowed(t, resp)
	g.Expect(resp.Warnings).To(ConsistOf(HavePrefix("bulkhead: policy warn: pid")))
	g.Expect(resp.AuditAnnotations).To(HaveKeyWithValue(auditViolations, And(
		ContainSubstring("policy audit: pid"), ContainSubstring("policy warn: pid"))))
}

func TestTellsWhichExemptionWasUsed(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{Name: "debugging", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}}}
	})))
	resp := ask(t, h, creation(t, podOf(hostPID)))
	expectAllowed(t, resp)
	g.Expect(resp.AuditAnnotations).To(Equal(map[string]string{auditExemptions: "tenants/debugging"}))
	expectAllowed(t, ask(t, h, creation(t, podOf())))
	g.Expect(testutil.ToFloat64(h.metrics.reviews.WithLabelValues(resourcePods, verdictExempt))).To(BeEquivalentTo(1))
}

func TestAnExemptionEndsByTheClockForNewPodsAndByCreationForOldOnes(t *testing.T) {
	g := NewWithT(t)
	policy := policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{
			Name: "debugging", Namespaces: []string{"shop"}, EphemeralContainers: true,
			Isolation: &v1alpha1.Isolation{PID: "Host"}, Portals: &v1alpha1.ExemptPortals{Privileged: v1alpha1.PortalAllow},
			Expires: &metav1.Time{Time: today},
		}}
	})
	h := handlerOf(compile(t, policy))
	// Whatever the object says of its creation, a new pod is created now.
	backdated := podOf(hostPID, func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(today.Add(-time.Hour)) })
	resp := ask(t, h, creation(t, backdated))
	g.Expect(resp.Allowed).To(BeFalse())
	g.Expect(resp.Result.Message).To(ContainSubstring("exemption debugging expired at 2027-03-01T12:00:00Z"))

	old := podOf(func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(today.Add(-time.Hour)) })
	with := old.DeepCopy()
	debugger("dbg", true)(with)
	expectAllowed(t, ask(t, h, extension(t, old, with)))
}

func TestJudgesOnlyTheDebugContainersThatAnUpdateAdds(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	old := podOf(debugger("first", true), func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	})

	plain := old.DeepCopy()
	debugger("second", false)(plain)
	expectAllowed(t, ask(t, h, extension(t, old, plain)))
	expectAllowed(t, ask(t, h, extension(t, old, old)))

	privileged := old.DeepCopy()
	debugger("second", true)(privileged)
	resp := ask(t, h, extension(t, old, privileged))
	g.Expect(resp.Allowed).To(BeFalse())
	g.Expect(strings.Split(resp.Result.Message, "\n")).To(HaveExactElements(
		Equal(`what is added to pod "web" asks for less isolation than is required:`),
		HavePrefix("policy tenants: privileged: spec.ephemeralContainers[1].securityContext.privileged is true"),
	))
}

func TestNamesAPodByGenerateNameWhileItHasNoOther(t *testing.T) {
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	resp := ask(t, h, creation(t, podOf(hostPID, func(p *corev1.Pod) { p.Name, p.GenerateName = "", "web-" })))
	NewWithT(t).Expect(resp.Result.Message).To(HavePrefix(`pod "web-..." asks`))
}

func TestTakesTheNamespaceFromTheRequest(t *testing.T) {
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{Name: "x", Namespaces: []string{"elsewhere"}, Isolation: &v1alpha1.Isolation{PID: "Host"}}}
	})))
	resp := ask(t, h, creation(t, podOf(hostPID, func(p *corev1.Pod) { p.Namespace = "elsewhere" })))
	NewWithT(t).Expect(resp.Allowed).To(BeFalse())
}

func TestAMirrorPodIsAdmittedForItsOwnNodeOnly(t *testing.T) {
	mirror := podOf(hostPID, func(p *corev1.Pod) {
		p.Spec.NodeName = "n1"
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "hash"}
	})
	for name, c := range map[string]struct {
		user    string
		groups  []string
		edit    func(*corev1.Pod)
		allowed bool
	}{
		"its node":                          {"system:node:n1", []string{"system:nodes"}, nil, true},
		"another node":                      {"system:node:n2", []string{"system:nodes"}, nil, false},
		"the node's name without its group": {"system:node:n1", []string{"system:masters"}, nil, false},
		"a person":                          {"alice", nil, nil, false},
		"a node without a mirror":           {"system:node:n1", []string{"system:nodes"}, func(p *corev1.Pod) { p.Annotations = nil }, false},
		"no node at all":                    {"system:node:", []string{"system:nodes"}, func(p *corev1.Pod) { p.Spec.NodeName = "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
			pod := mirror.DeepCopy()
			if c.edit != nil {
				c.edit(pod)
			}
			r := creation(t, pod)
			r.UserInfo.Username, r.UserInfo.Groups = c.user, c.groups
			resp := ask(t, h, r)
			g.Expect(resp.Allowed).To(Equal(c.allowed))
			if c.allowed {
				g.Expect(resp.Warnings).To(ConsistOf(HavePrefix("bulkhead: mirror pod of node n1, whose static pod runs anyway: policy tenants: pid")))
				g.Expect(resp.AuditAnnotations).To(HaveKeyWithValue(auditMirror, "n1"))
				g.Expect(resp.AuditAnnotations).To(HaveKeyWithValue(auditViolations, ContainSubstring("policy tenants: pid")))
				g.Expect(testutil.ToFloat64(h.metrics.reviews.WithLabelValues(resourcePods, verdictMirror))).To(BeEquivalentTo(1))
			}
		})
	}
}

func TestRefusesWhatItCannotJudge(t *testing.T) {
	for name, edit := range map[string]func(*admissionv1.AdmissionRequest){
		"an update of a pod":           func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update },
		"the deletion of a pod":        func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete },
		"another subresource":          func(r *admissionv1.AdmissionRequest) { r.SubResource = "exec" },
		"another resource":             func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "replicasets" },
		"a group's pods":               func(r *admissionv1.AdmissionRequest) { r.Resource.Group = "example.com" },
		"another kind":                 func(r *admissionv1.AdmissionRequest) { r.Kind.Kind = "PodTemplate" },
		"no object":                    func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil },
		"null":                         func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("null") },
		"no JSON":                      func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("\x1b[31m{") },
		"something without containers": func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("{}") },
		"a pod with wrong types":       func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"spec":{"hostPID":"yes"}}`) },
		"an object of another kind":    func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"apiVersion":"v1","kind":"Secret"}`) },
		"an object of no known kind":   func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"apiVersion":"v9","kind":"Pod"}`) },
		"no namespace":                 func(r *admissionv1.AdmissionRequest) { r.Namespace = "" },
		"an extension of nothing": func(r *admissionv1.AdmissionRequest) {
			r.Operation, r.SubResource = admissionv1.Update, "ephemeralcontainers"
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			h := handlerOf()
			r := creation(t, podOf())
			edit(&r)
			resp := ask(t, h, r)
			g.Expect(resp.Allowed).To(BeFalse())
			g.Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusBadRequest))
			g.Expect(resp.Result.Message).NotTo(BeEmpty())
			g.Expect(resp.Result.Message).NotTo(ContainSubstring("\x1b"))
			g.Expect(testutil.ToFloat64(h.metrics.reviews.WithLabelValues(resourcePods, verdictError))).To(BeEquivalentTo(1))
		})
	}
}

func TestAdmitsNothingBeforeThePoliciesAreRead(t *testing.T) {
	h := handlerOf()
	h.policies = func() ([]*isolation.Policy, bool) { return nil, false }
	resp := ask(t, h, creation(t, podOf()))
	NewWithT(t).Expect(resp.Allowed).To(BeFalse())
	NewWithT(t).Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusServiceUnavailable))
}

func TestAPanicRefusesByADenyPolicyAndIsCounted(t *testing.T) {
	for action, allowed := range map[v1alpha1.AdmissionAction]bool{v1alpha1.Deny: false, v1alpha1.Warn: true, v1alpha1.Audit: true} {
		t.Run(string(action), func(t *testing.T) {
			g := NewWithT(t)
			h := handlerOf(compile(t, policyOf("sound", v1alpha1.Warn)), compile(t, policyOf("unsound", action)))
			h.judge = func(p *isolation.Policy, s *isolation.Subject) isolation.Judgement {
				if p.Name == "unsound" {
					panic("out of range")
				}
				return p.Judge(s)
			}
			resp := ask(t, h, creation(t, podOf(hostPID)))
			g.Expect(resp.Allowed).To(Equal(allowed))
			g.Expect(resp.Warnings).To(ContainElement(ContainSubstring("policy sound: pid")))
			g.Expect(testutil.ToFloat64(h.metrics.panics)).To(BeEquivalentTo(1))
			g.Expect(testutil.ToFloat64(h.metrics.inFlight.WithLabelValues(resourcePods))).To(BeZero())
			if !allowed {
				g.Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusInternalServerError))
				g.Expect(resp.Result.Message).To(ContainSubstring("policy unsound: this could not be judged"))
			}
		})
	}
}

func TestAPanicOutsideAPolicyRefuses(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf()
	h.namespaces = nil
	resp := ask(t, h, creation(t, podOf()))
	g.Expect(resp.Allowed).To(BeFalse())
	g.Expect(resp.Result.Code).To(BeEquivalentTo(http.StatusInternalServerError))
	g.Expect(testutil.ToFloat64(h.metrics.panics)).To(BeEquivalentTo(1))
}

func TestDryRunIsJudgedTheSame(t *testing.T) {
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	r := creation(t, podOf(hostPID))
	dry := true
	r.DryRun = &dry
	NewWithT(t).Expect(ask(t, h, r).Allowed).To(BeFalse())
}

func TestLabelsOfANamespace(t *testing.T) {
	shared := namespaceReader{labels: map[string]string{"tenancy": "shared"}}
	single := namespaceReader{labels: map[string]string{"tenancy": "single"}}
	missing := namespaceReader{err: errors.New("not found")}
	for name, c := range map[string]struct {
		namespaces *namespaces
		allowed    bool
	}{
		"come from the cache":                          {newNamespaces(single, shared, logr.Discard()), true},
		"are read live if the cache has none":          {newNamespaces(missing, shared, logr.Discard()), false},
		"read live can keep a policy out":              {newNamespaces(missing, single, logr.Discard()), true},
		"match every selector if nobody can tell them": {newNamespaces(missing, missing, logr.Discard()), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
				s.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}}
			})))
			h.namespaces = c.namespaces
			NewWithT(t).Expect(ask(t, h, creation(t, podOf(hostPID))).Allowed).To(Equal(c.allowed))
		})
	}
}

// Refusing a mirror pod stops nothing, whatever is not known.
func TestAMirrorPodInANamespaceThatNobodyCanReadIsAdmitted(t *testing.T) {
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	missing := namespaceReader{err: errors.New("not found")}
	h.namespaces = newNamespaces(missing, missing, logr.Discard())
	r := creation(t, podOf(hostPID, func(p *corev1.Pod) {
		p.Spec.NodeName, p.Annotations = "n1", map[string]string{corev1.MirrorPodAnnotationKey: "hash"}
	}))
	r.UserInfo.Username, r.UserInfo.Groups = "system:node:n1", []string{"system:nodes"}
	expectAllowed(t, ask(t, h, r))
	r.UserInfo.Username = "system:node:n2"
	NewWithT(t).Expect(ask(t, h, r).Allowed).To(BeFalse())
}

// The API server selects by the labels that it knows, which can be newer than those that a replica does.
func TestWhatTheAPIServerSelectedMatches(t *testing.T) {
	g := NewWithT(t)
	selecting := func(value string) func(*v1alpha1.IsolationPolicySpec) {
		return func(s *v1alpha1.IsolationPolicySpec) {
			s.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": value}}}
		}
	}
	asked, other := compile(t, policyOf("asked", v1alpha1.Deny, selecting("new"))), compile(t, policyOf("other", v1alpha1.Deny, selecting("other")))
	h := handlerOf(asked, other)
	body := bodyOf(t, creation(t, podOf(hostPID)))
	a, err := h.handle(t.Context(), "", body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(a.Allowed).To(BeTrue(), "the replica knows the labels of before")
	a, err = h.handle(t.Context(), asked.Selection, body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(a.Allowed).To(BeFalse())
	g.Expect(a.Result.Message).To(And(ContainSubstring("policy asked: pid"), Not(ContainSubstring("policy other"))))
}

// waiting is a cache, or an API server, that does not answer in time.
type waiting struct {
	client.Reader
	until []time.Time
}

func (w *waiting) Get(ctx context.Context, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	deadline, _ := ctx.Deadline()
	w.until = append(w.until, deadline)
	return context.DeadlineExceeded
}

func TestNobodyWaitsForANamespaceLongerThanTheAPIServerForTheAnswer(t *testing.T) {
	g := NewWithT(t)
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}}
	})))
	silent := &waiting{}
	h.namespaces = newNamespaces(silent, silent, logr.Discard())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := h.handle(ctx, "", bodyOf(t, creation(t, podOf(hostPID))))
	g.Expect(failed(err).code).To(Equal(http.StatusServiceUnavailable), "unknown never passes, and who is asked for a policy that only warns refuses nobody")
	g.Expect(err).To(MatchError(ContainSubstring(`the labels of namespace "shop" could not be read`)))
	deadline, _ := ctx.Deadline()
	g.Expect(silent.until).To(HaveExactElements(deadline, deadline))
}
