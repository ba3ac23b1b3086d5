// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// post sends a body as the API server does.
func post(t testing.TB, h *podHandler, body []byte) admissionv1.AdmissionReview {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, v1alpha1.PodWebhookPath, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	(&admission.Webhook{Handler: h}).ServeHTTP(w, r)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Fatalf("the answer is no AdmissionReview: %v: %.200q", err, w.Body)
	}
	return review
}

func bodyOf(t testing.TB, r admission.Request) []byte {
	t.Helper()
	b, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &r.AdmissionRequest,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzReview sends arbitrary bodies to a webhook whose policy lets nobody have the node's process
// namespace. Whatever comes is answered without a panic, and nothing is admitted but what reads
// as a pod without hostPID.
func FuzzReview(f *testing.F) {
	f.Add(bodyOf(f, creation(f, podOf())))
	f.Add(bodyOf(f, creation(f, podOf(hostPID, hostNetwork))))
	f.Add(bodyOf(f, extension(f, podOf(hostPID), podOf(hostPID, debugger("dbg", true)))))
	f.Add(bodyOf(f, extension(f, podOf(), podOf(debugger("dbg", false)))))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}`))
	f.Add([]byte(`{"request":null}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","spec":{"hostPID":true}}`))
	f.Add([]byte("\x00\xff"))
	policy := compile(f, policyOf("tenants", v1alpha1.Deny))
	f.Fuzz(func(t *testing.T, body []byte) {
		h := handlerOf(policy)
		review := post(t, h, body)
		if n := testutil.ToFloat64(h.metrics.panics); n != 0 {
			t.Fatalf("%v panics", n)
		}
		if !review.Response.Allowed {
			if review.Response.Result == nil || review.Response.Result.Message == "" {
				t.Fatal("refused without a reason")
			}
			return
		}
		var sent admissionv1.AdmissionReview
		if err := json.Unmarshal(body, &sent); err != nil || sent.Request == nil {
			t.Skip("read as YAML, which this test does not read")
		}
		var pod corev1.Pod
		if err := json.Unmarshal(sent.Request.Object.Raw, &pod); err != nil {
			t.Fatalf("admitted what is no pod: %v", err)
		}
		if sent.Request.Operation == admissionv1.Create && pod.Spec.HostPID {
			t.Fatal("admitted a pod with hostPID")
		}
	})
}

func TestRefusesABodyThatIsTooLarge(t *testing.T) {
	review := post(t, handlerOf(), bytes.Repeat([]byte(" "), 8<<20))
	if review.Response.Allowed || review.Response.Result.Code != http.StatusRequestEntityTooLarge {
		t.Fatalf("%+v", review.Response)
	}
}
