// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// inhabited is a cluster with pods, in namespaces without labels.
type inhabited struct {
	client.Reader
	pods []corev1.Pod
	err  error
}

func (c inhabited) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if list, ok := list.(*corev1.NamespaceList); ok {
		for _, name := range []string{"shop", "kube-system"} {
			list.Items = append(list.Items, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	}
	return c.err
}

func (c inhabited) all(context.Context) ([]*ledger.Pod, error) {
	out := make([]*ledger.Pod, len(c.pods))
	for i := range c.pods {
		out[i] = ledger.Keep(c.pods[i].DeepCopy())
	}
	return out, c.err
}

// running is a pod in shop that belongs to something.
func running(kind, owner string, edit ...func(*corev1.Pod)) corev1.Pod {
	p := podOf(append([]func(*corev1.Pod){func(p *corev1.Pod) { p.Namespace, p.Status.Phase = "shop", corev1.PodRunning }}, edit...)...)
	if kind != "" {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: owner, Controller: ptr.To(true)}}
	}
	return *p
}

func hashed(hash string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{"pod-template-hash": hash} }
}

func updating(t *testing.T, cached populated, old, policy *v1alpha1.IsolationPolicy) []string {
	t.Helper()
	r := admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Object: raw(t, policy),
		Resource: metav1.GroupVersionResource{Group: v1alpha1.Group, Version: "v1alpha1", Resource: "isolationpolicies"},
	}
	if old != nil {
		r.Operation, r.OldObject = admissionv1.Update, raw(t, old)
	}
	h := policiesOf(cached)
	h.pods.excluded = []string{"kube-system"}
	resp := ask(t, h, r)
	expectAllowed(t, resp)
	return resp.Warnings
}

func TestWhoAppliesAPolicyIsToldOfThePodsThatViolateItByTheirOwners(t *testing.T) {
	pods := []corev1.Pod{
		running("ReplicaSet", "web-7d4b9c6f5d", hostPID, hostNetwork, hashed("7d4b9c6f5d")),
		running("ReplicaSet", "web-7d4b9c6f5d", hostPID, hashed("7d4b9c6f5d")),
		running("ReplicaSet", "web-58c9f9c7b8", hostPID, hashed("58c9f9c7b8")),
		running("ReplicaSet", "bare", hostPID),
		running("StatefulSet", "db", hostNetwork),
		running("", "", hostPID),
		running("DaemonSet", "fine"),
		running("Job", "over", hostPID, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		running("Job", "failed", hostPID, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		running("DaemonSet", "exempt", hostPID, func(p *corev1.Pod) { p.Spec.ServiceAccountName = "tracer" }),
		running("DaemonSet", "kube-proxy", hostNetwork, func(p *corev1.Pod) { p.Namespace = "kube-system" }),
	}
	policy := policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{Name: "x", Namespaces: []string{"shop"}, ServiceAccounts: []string{"tracer"}, Isolation: &v1alpha1.Isolation{PID: "Host"}}}
	})
	NewWithT(t).Expect(updating(t, inhabited{pods: pods}, nil, policy)).To(HaveExactElements(
		"bulkhead: 6 pods of 4 owners violate this policy; they are not touched, and would be refused if they were created again:",
		"bulkhead: Deployment shop/web (3 pods): pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false, and 2 more",
		HavePrefix("bulkhead: ReplicaSet shop/bare (1 pod): pid: "),
		HavePrefix("bulkhead: StatefulSet shop/db (1 pod): network: "),
		HavePrefix("bulkhead: Pod shop/web: pid: "),
	))
}

func TestWhoIsCoveredByAnExemptionThatHasEndedSinceIsTold(t *testing.T) {
	pods := []corev1.Pod{running("DaemonSet", "tracer", hostPID)}
	pods[0].CreationTimestamp = metav1.NewTime(today.Add(-time.Hour))
	policy := policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{
			Name: "x", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}, Expires: &metav1.Time{Time: today},
		}}
	})
	NewWithT(t).Expect(updating(t, inhabited{pods: pods}, nil, policy)).To(ContainElement(And(
		HavePrefix("bulkhead: DaemonSet shop/tracer (1 pod): pid: "), ContainSubstring("(exemption x expired at "))))
}

func TestTighteningAPolicyTellsOfThePodsThatDidNotViolateItBefore(t *testing.T) {
	pods := inhabited{pods: []corev1.Pod{running("DaemonSet", "pid", hostPID), running("DaemonSet", "network", hostNetwork), running("DaemonSet", "both", hostNetwork, hostPID)}}
	only := func(i v1alpha1.Isolation) func(*v1alpha1.IsolationPolicySpec) {
		return func(s *v1alpha1.IsolationPolicySpec) { s.Isolation, s.Portals = &i, nil }
	}
	pid := only(v1alpha1.Isolation{PID: "Container"})
	both := only(v1alpha1.Isolation{PID: "Container", Network: "Pod"})
	for name, c := range map[string]struct {
		old, policy *v1alpha1.IsolationPolicy
		want        []string
	}{
		"by an axis":                  {policyOf("p", v1alpha1.Deny, pid), policyOf("p", v1alpha1.Deny, both), []string{"2 pods of 2", "both (1 pod): network", "network (1 pod): network"}},
		"by its action":               {policyOf("p", v1alpha1.Warn, pid), policyOf("p", v1alpha1.Deny, pid), []string{"2 pods of 2", "both (1 pod): pid", "pid (1 pod): pid"}},
		"and says what Warn would do": {policyOf("p", v1alpha1.Audit, pid), policyOf("p", v1alpha1.Warn, pid), []string{"would be admitted with a warning", "both (1 pod): pid", "pid (1 pod): pid"}},
		"not when it is loosened":     {policyOf("p", v1alpha1.Deny, both), policyOf("p", v1alpha1.Deny, pid), nil},
		"not by a milder action":      {policyOf("p", v1alpha1.Deny, pid), policyOf("p", v1alpha1.Audit, pid), nil},
		"by whom it matches": {
			policyOf("p", v1alpha1.Deny, pid, func(s *v1alpha1.IsolationPolicySpec) {
				s.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}
			}), policyOf("p", v1alpha1.Deny, pid), []string{"2 pods of 2", "both (1 pod): pid", "pid (1 pod): pid"},
		},
		"by an exemption that goes": {
			policyOf("p", v1alpha1.Deny, pid, func(s *v1alpha1.IsolationPolicySpec) {
				s.Exemptions = []v1alpha1.Exemption{{Name: "x", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}}}
			}), policyOf("p", v1alpha1.Deny, pid), []string{"2 pods of 2", "both (1 pod): pid", "pid (1 pod): pid"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			told := updating(t, pods, c.old, c.policy)
			g.Expect(told).To(HaveLen(len(c.want)))
			for i, w := range c.want {
				g.Expect(told[i]).To(ContainSubstring(w))
			}
		})
	}
}

func TestWhatIsToldOfPodsIsBounded(t *testing.T) {
	g := NewWithT(t)
	var pods []corev1.Pod
	for i := range 500 {
		pods = append(pods, running("DaemonSet", fmt.Sprintf("%03d-%s", i, strings.Repeat("x", 240)), hostPID))
	}
	dodged := policyOf("p", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Portals.HostPaths.Allow = []v1alpha1.AllowedHostPath{{PathPrefix: "/data"}}
	})
	told := updating(t, inhabited{pods: pods}, nil, dodged)
	g.Expect(len(strings.Join(told, ""))).To(BeNumerically("<=", maxWarnings))
	g.Expect(told[0]).To(HavePrefix("bulkhead: 500 pods of 500 owners violate this policy"))
	g.Expect(told).To(ContainElement(MatchRegexp(`^\.\.\. and \d+ more$`)))
	g.Expect(told[len(told)-1]).To(HavePrefix("spec.portals.hostPaths.allow[0]: pods may write"), "what else there is to know has its place")
}

func TestAPolicyIsAcceptedIfPodsCannotBeReadInTime(t *testing.T) {
	g := NewWithT(t)
	unknown := "bulkhead: which pods violate this policy could not be found out in time: its status will tell"
	g.Expect(updating(t, inhabited{err: errors.New("not synced")}, nil, policyOf("p", v1alpha1.Deny))).To(ConsistOf(unknown))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cluster := inhabited{pods: []corev1.Pod{running("DaemonSet", "d", hostPID)}}
	pods := population{cached: cluster, pods: cluster.all}
	_, err := pods.affected(ctx, nil, compile(t, policyOf("p", v1alpha1.Deny)), today)
	g.Expect(err).To(MatchError(context.Canceled))
}

func TestThousandsOfPodsAreJudgedWithinTheTimeOfARequest(t *testing.T) {
	var pods []corev1.Pod
	for i := range 10_000 {
		pods = append(pods, running("DaemonSet", fmt.Sprint(i%100), hostPID))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	told, err := (&population{cached: inhabited{}, pods: inhabited{pods: pods}.all}).affected(ctx, nil, compile(t, policyOf("p", v1alpha1.Deny, everyPortal)), today)
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(told[0]).To(HavePrefix("bulkhead: 10000 pods of 100 owners"))
}

func TestAPolicyThatItsEngineCannotCarryOutIsRefusedWithTheReason(t *testing.T) {
	g := NewWithT(t)
	h := policiesOf(nobody{})
	h.expressible = func(p *v1alpha1.IsolationPolicy) error {
		return fmt.Errorf("spec.match: %q costs too much\nspec.exemptions: too many", p.Name)
	}
	create := func(edit ...func(*v1alpha1.IsolationPolicySpec)) *admissionv1.AdmissionResponse {
		return ask(t, h, admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Object: raw(t, policyOf("p", v1alpha1.Deny, edit...)),
			Resource: metav1.GroupVersionResource{Group: v1alpha1.Group, Version: "v1alpha1", Resource: "isolationpolicies"},
		})
	}
	resp := create(func(s *v1alpha1.IsolationPolicySpec) { s.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy })
	g.Expect(resp.Allowed).To(BeFalse())
	g.Expect(resp.Result.Reason).To(Equal(metav1.StatusReasonInvalid))
	g.Expect(strings.Split(resp.Result.Message, "\n")).To(HaveExactElements(
		`spec.admission.engine: the API server cannot carry this policy out by itself; the engine Webhook can: spec.match: "p" costs too much`,
		"spec.exemptions: too many",
	))
	g.Expect(create().Allowed).To(BeTrue())
}
