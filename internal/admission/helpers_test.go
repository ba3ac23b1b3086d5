// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// today is when the tests take place.
var today = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// policyOf is a policy that demands everything of every pod.
func policyOf(name string, action v1alpha1.AdmissionAction, edit ...func(*v1alpha1.IsolationPolicySpec)) *v1alpha1.IsolationPolicy {
	p := &v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1},
		Spec: v1alpha1.IsolationPolicySpec{
			Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod"},
			Portals: &v1alpha1.Portals{
				Privileged: v1alpha1.PortalForbid,
				HostPaths:  &v1alpha1.HostPathsPortal{},
				HostPorts:  &v1alpha1.HostPortsPortal{},
			},
			Admission: v1alpha1.AdmissionSpec{Action: action},
		},
	}
	for _, e := range edit {
		e(&p.Spec)
	}
	return p
}

func compile(t testing.TB, p *v1alpha1.IsolationPolicy) *isolation.Policy {
	t.Helper()
	c, err := isolation.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// handlerOf judges by these policies, in this order. Every namespace has no labels.
func handlerOf(policies ...*isolation.Policy) *podHandler {
	return &podHandler{
		policies:   func() ([]*isolation.Policy, bool) { return policies, true },
		namespaces: newNamespaces(namespaceReader{}, namespaceReader{}, logr.Discard()),
		clock:      clocktesting.NewFakePassiveClock(today),
		metrics:    newInstruments(),
		log:        logr.Discard(),
		judge:      (*isolation.Policy).Judge,
	}
}

// post sends a body as the API server does. A call that fails is a refusal, as it is where the
// webhook configuration says failurePolicy Fail.
func post(t testing.TB, e *endpoint, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/validate?timeout=5s", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	e.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		var status metav1.Status
		if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil || int(status.Code) != w.Code || status.Kind != "Status" {
			t.Fatalf("the failure %d is no Status: %v: %.200q", w.Code, err, w.Body)
		}
		return &admissionv1.AdmissionResponse{Result: &status}
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Fatalf("the answer is no AdmissionReview: %v: %.200q", err, w.Body)
	}
	return review.Response
}

// endpointOf serves a handler.
func endpointOf(h handler) *endpoint {
	e := &endpoint{resource: resourcePods, handler: h, limits: newLimits(), metrics: newInstruments(), log: logr.Discard()}
	switch h := h.(type) {
	case *podHandler:
		e.metrics = h.metrics
	case *templateHandler:
		e.resource, e.metrics = resourceTemplates, h.metrics
	}
	return e
}

// ask sends one request.
func ask(t testing.TB, h handler, r admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	resp := post(t, endpointOf(h), bodyOf(t, r))
	if resp.UID != r.UID && resp.Result.Status != metav1.StatusFailure {
		t.Fatalf("asked by %q, answered to %q", r.UID, resp.UID)
	}
	return resp
}

// bodyOf is the review that asks. Its object need not be JSON.
func bodyOf(t testing.TB, r admissionv1.AdmissionRequest) []byte {
	t.Helper()
	object := r.Object.Raw
	broken := len(object) > 0 && !json.Valid(object)
	if broken {
		r.Object.Raw = []byte(`"the object"`)
	}
	b, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &r,
	})
	if err != nil {
		t.Fatal(err)
	}
	if broken {
		b = bytes.Replace(b, []byte(`"the object"`), object, 1)
	}
	return b
}

// namespaceReader answers every read of a namespace alike.
type namespaceReader struct {
	client.Reader
	labels map[string]string
	err    error
}

func (r namespaceReader) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if r.err != nil {
		return r.err
	}
	o.SetName(key.Name)
	o.SetLabels(r.labels)
	return nil
}

func podOf(edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func hostPID(p *corev1.Pod)     { p.Spec.HostPID = true }
func hostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

func raw(t testing.TB, o any) runtime.RawExtension {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: b}
}

func creation(t testing.TB, p *corev1.Pod) admissionv1.AdmissionRequest {
	t.Helper()
	return admissionv1.AdmissionRequest{
		UID: "1", Kind: podKind, Resource: podResource, Operation: admissionv1.Create,
		Namespace: "shop", Name: p.Name, Object: raw(t, p),
		UserInfo: authenticationv1.UserInfo{Username: "alice"},
	}
}

func extension(t testing.TB, old, p *corev1.Pod) admissionv1.AdmissionRequest {
	t.Helper()
	r := creation(t, p)
	r.Operation, r.SubResource, r.OldObject = admissionv1.Update, "ephemeralcontainers", raw(t, old)
	return r
}

func debugger(name string, privileged bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: name, Image: "busybox", SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
			},
		})
	}
}

func expectAllowed(t *testing.T, r *admissionv1.AdmissionResponse) {
	t.Helper()
	NewWithT(t).Expect(r.Allowed).To(BeTrue(), "%+v", r.Result)
}

// everyPortal demands everything that can be demanded.
func everyPortal(s *v1alpha1.IsolationPolicySpec) {
	s.Portals = &v1alpha1.Portals{
		Privileged: v1alpha1.PortalForbid, ProcMount: v1alpha1.PortalForbid, MountPropagation: v1alpha1.PortalForbid,
		Devices: v1alpha1.PortalForbid, RuntimeSockets: v1alpha1.PortalForbid,
		WindowsHostProcess: v1alpha1.PortalForbid, HostProbes: v1alpha1.PortalForbid,
		HostPaths: &v1alpha1.HostPathsPortal{}, HostPorts: &v1alpha1.HostPortsPortal{},
		Capabilities: &v1alpha1.CapabilitiesPortal{Forbid: []v1alpha1.Capability{"ALL"}},
	}
}

// recordedReview is a review as an API server 1.37 wrote it: a pod of a Deployment with a sidecar,
// probes, resources and a projected token.
func recordedReview(t testing.TB) []byte {
	body, err := os.ReadFile("testdata/review.json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}
