// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// today is when the tests take place.
var today = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// decoder is made once: that takes longer than most tests.
var decoder = sync.OnceValue(func() admission.Decoder {
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		panic(err)
	}
	return admission.NewDecoder(s)
})

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
		namespaces: &namespaces{cached: namespaceReader{}, live: namespaceReader{}},
		decoder:    decoder(),
		clock:      clocktesting.NewFakePassiveClock(today),
		metrics:    newInstruments(),
		judge:      (*isolation.Policy).Judge,
	}
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

func creation(t testing.TB, p *corev1.Pod) admission.Request {
	t.Helper()
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Kind: podKind, Resource: podResource, Operation: admissionv1.Create,
		Namespace: "shop", Name: p.Name, Object: raw(t, p),
		UserInfo: authenticationv1.UserInfo{Username: "alice"},
	}}
}

func extension(t testing.TB, old, p *corev1.Pod) admission.Request {
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

func expectAllowed(t *testing.T, r admission.Response) {
	t.Helper()
	NewWithT(t).Expect(r.Allowed).To(BeTrue(), "%+v", r.Result)
}
