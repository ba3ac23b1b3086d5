// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func templatesOf(policies ...*isolation.Policy) *templateHandler {
	return &templateHandler{
		policies:   func() ([]*isolation.Policy, bool) { return policies, true },
		namespaces: newNamespaces(namespaceReader{}, namespaceReader{}, logr.Discard()),
		clock:      clocktesting.NewFakePassiveClock(today),
		metrics:    newInstruments(),
		log:        logr.Discard(),
		judge:      (*isolation.Policy).Judge,
	}
}

// templateOf is the template of a pod.
func templateOf(edit ...func(*corev1.Pod)) corev1.PodTemplateSpec {
	p := podOf(edit...)
	return corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
}

// everyWorkload holds the template in every kind of workload, with the place of its spec.
func everyWorkload(template corev1.PodTemplateSpec) map[metav1.GroupVersionResource]struct {
	object metav1.Object
	path   string
} {
	type held = struct {
		object metav1.Object
		path   string
	}
	const nested = "spec.template.spec"
	return map[metav1.GroupVersionResource]held{
		{Group: "apps", Version: "v1", Resource: "deployments"}:  {&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template}}, nested},
		{Group: "apps", Version: "v1", Resource: "replicasets"}:  {&appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: template}}, nested},
		{Group: "apps", Version: "v1", Resource: "statefulsets"}: {&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: template}}, nested},
		{Group: "apps", Version: "v1", Resource: "daemonsets"}:   {&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: template}}, nested},
		{Group: "batch", Version: "v1", Resource: "jobs"}:        {&batchv1.Job{Spec: batchv1.JobSpec{Template: template}}, nested},
		{Group: "batch", Version: "v1", Resource: "cronjobs"}: {
			&batchv1.CronJob{Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}}, "spec.jobTemplate.spec.template.spec"},
		{Version: "v1", Resource: "replicationcontrollers"}: {&corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Template: &template}}, nested},
		{Version: "v1", Resource: "podtemplates"}:           {&corev1.PodTemplate{Template: template}, "template.spec"},
	}
}

func application(t testing.TB, resource metav1.GroupVersionResource, o any) admissionv1.AdmissionRequest {
	t.Helper()
	return admissionv1.AdmissionRequest{UID: "1", Resource: resource, Operation: admissionv1.Create, Namespace: "shop", Object: raw(t, o)}
}

var deployments = metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

func deploymentOf(edit ...func(*corev1.Pod)) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Template: templateOf(edit...)}}
}

func TestEveryWorkloadIsWarnedOfInTheWordsOfItsPods(t *testing.T) {
	policies := []*isolation.Policy{compile(t, policyOf("tenants", v1alpha1.Deny, everyPortal))}
	violating(func(name, _ string, p *corev1.Pod) {
		refused := ask(t, handlerOf(policies...), creation(t, p))
		for resource, w := range everyWorkload(corev1.PodTemplateSpec{Spec: p.Spec}) {
			t.Run(name+" in "+resource.Resource, func(t *testing.T) {
				g := NewWithT(t)
				resp := ask(t, templatesOf(policies...), application(t, resource, w.object))
				expectAllowed(t, resp)
				var want []string
				for _, line := range strings.Split(refused.Result.Message, "\n")[1:] {
					want = append(want, "bulkhead: its pods would be refused: "+strings.Replace(line, ": spec.", ": "+w.path+".", 1))
				}
				g.Expect(resp.Warnings).To(Equal(want))
				g.Expect(resp.AuditAnnotations).To(BeEmpty())
			})
		}
	})
}

func TestATemplateIsToldOfEveryPolicyWhateverItsActionAndEngine(t *testing.T) {
	inServer := func(s *v1alpha1.IsolationPolicySpec) { s.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy }
	h := templatesOf(
		compile(t, policyOf("a-audit", v1alpha1.Audit)), compile(t, policyOf("b-warn", v1alpha1.Warn, inServer)),
		compile(t, policyOf("c-deny", v1alpha1.Deny, inServer)), compile(t, policyOf("d-deny", v1alpha1.Deny)),
		compile(t, policyOf("e-elsewhere", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
			s.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}}
		})))
	resp := ask(t, h, application(t, deployments, deploymentOf(hostPID)))
	expectAllowed(t, resp)
	NewWithT(t).Expect(resp.Warnings).To(HaveExactElements(
		HavePrefix("bulkhead: its pods would be refused: policy c-deny: pid: spec.template.spec.hostPID is true"),
		HavePrefix("bulkhead: its pods would be refused: policy d-deny: pid"),
		HavePrefix("bulkhead: its pods would be admitted with a warning: policy b-warn: pid"),
		HavePrefix("bulkhead: its pods would be admitted and audited: policy a-audit: pid"),
	))
}

func TestATemplateIsExemptAsItsPodsAre(t *testing.T) {
	h := templatesOf(compile(t, policyOf("tenants", v1alpha1.Deny, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{
			{Name: "tracing", Namespaces: []string{"shop"}, ServiceAccounts: []string{"tracer"}, Isolation: &v1alpha1.Isolation{PID: "Host"}},
			{Name: "over", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}, Expires: &metav1.Time{Time: today}},
		}
	})))
	g := NewWithT(t)
	tracer := func(p *corev1.Pod) { p.Spec.ServiceAccountName = "tracer" }
	g.Expect(ask(t, h, application(t, deployments, deploymentOf(hostPID, tracer))).Warnings).To(BeEmpty())
	g.Expect(ask(t, h, application(t, deployments, deploymentOf(hostPID))).Warnings).To(ConsistOf(ContainSubstring("exemption over expired")))
}

func TestAnUpdateIsToldOfOnlyIfTheTemplateChanged(t *testing.T) {
	h := templatesOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	update := func(old, now any) []string {
		r := application(t, deployments, now)
		r.Operation, r.OldObject = admissionv1.Update, raw(t, old)
		resp := ask(t, h, r)
		expectAllowed(t, resp)
		return resp.Warnings
	}
	g := NewWithT(t)
	scaled := deploymentOf(hostPID)
	scaled.Spec.Replicas = ptr.To[int32](7)
	g.Expect(update(deploymentOf(hostPID), scaled)).To(BeEmpty())
	g.Expect(update(deploymentOf(), deploymentOf(hostPID))).To(HaveLen(1))
	labelled := func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }
	g.Expect(update(deploymentOf(hostPID), deploymentOf(hostPID, labelled))).To(HaveLen(1), "another policy may match")
	g.Expect(update(map[string]any{"spec": 1}, deploymentOf(hostPID))).To(HaveLen(1), "what cannot be read may have changed")
}

func TestWhatAControllerMakesIsToldToNobody(t *testing.T) {
	h := templatesOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
	rs := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: templateOf(hostPID)}}
	resource := metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	g := NewWithT(t)
	g.Expect(ask(t, h, application(t, resource, rs)).Warnings).To(HaveLen(1))
	rs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "1", Controller: ptr.To(true)}}
	g.Expect(ask(t, h, application(t, resource, rs)).Warnings).To(BeEmpty())
}

func TestATemplateIsNeverRefused(t *testing.T) {
	for name, edit := range map[string]func(*templateHandler, *admissionv1.AdmissionRequest){
		"that cannot be read": func(_ *templateHandler, r *admissionv1.AdmissionRequest) {
			r.Object.Raw = []byte(`{"spec":{"template":7}}`)
		},
		"that is missing":     func(_ *templateHandler, r *admissionv1.AdmissionRequest) { r.Object.Raw = nil },
		"of another resource": func(_ *templateHandler, r *admissionv1.AdmissionRequest) { r.Resource.Resource = "widgets" },
		"of a subresource":    func(_ *templateHandler, r *admissionv1.AdmissionRequest) { r.SubResource = "scale" },
		"that is deleted":     func(_ *templateHandler, r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete },
		"while policies are unread": func(h *templateHandler, _ *admissionv1.AdmissionRequest) {
			h.policies = func() ([]*isolation.Policy, bool) { return nil, false }
		},
		"when judging panics": func(h *templateHandler, _ *admissionv1.AdmissionRequest) {
			h.judge = func(*isolation.Policy, *isolation.Subject) isolation.Judgement { panic("out of range") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			h := templatesOf(compile(t, policyOf("tenants", v1alpha1.Deny)))
			r := application(t, deployments, deploymentOf(hostPID))
			edit(h, &r)
			resp := ask(t, h, r)
			expectAllowed(t, resp)
			g.Expect(resp.Warnings).To(ConsistOf(HavePrefix("bulkhead: the template of these pods was not judged: ")))
			g.Expect(testutil.ToFloat64(h.metrics.reviews.WithLabelValues(resourceTemplates, verdictError))).To(BeEquivalentTo(1))
		})
	}
}

func TestWarningsOfATemplateAreBounded(t *testing.T) {
	var policies []*isolation.Policy
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		policies = append(policies, compile(t, policyOf(strings.Repeat(name, 63), v1alpha1.Deny)))
	}
	resp := ask(t, templatesOf(policies...), application(t, deployments, deploymentOf(hostPID, hostNetwork)))
	g := NewWithT(t)
	g.Expect(len(strings.Join(resp.Warnings, ""))).To(BeNumerically("<=", maxWarnings))
	g.Expect(resp.Warnings[len(resp.Warnings)-1]).To(MatchRegexp(`^\.\.\. and \d+ more$`))
}
