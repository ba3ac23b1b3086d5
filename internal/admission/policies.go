// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// policyHandler says of a policy what its schema cannot: that it does not compile, and what its
// author should know. A deletion is never in question.
type policyHandler struct {
	decoder admission.Decoder
	clock   clock.PassiveClock
}

// Handle answers one request.
func (h *policyHandler) Handle(_ context.Context, req admission.Request) admission.Response {
	r := &req.AdmissionRequest
	if r.Resource.Group != v1alpha1.Group || r.Resource.Resource != "isolationpolicies" || r.SubResource != "" {
		return badRequest(fmt.Errorf("asked to judge %s, subresource %q: only isolationpolicies can be judged here; put right the rules of the webhook configuration",
			r.Resource, r.SubResource))
	}
	switch r.Operation {
	case admissionv1.Delete:
		return admission.Allowed("")
	case admissionv1.Create, admissionv1.Update:
	default:
		return badRequest(fmt.Errorf("asked to judge %q of a policy: only CREATE and UPDATE can be judged; put right the rules of the webhook configuration", r.Operation))
	}
	var policy v1alpha1.IsolationPolicy
	if err := h.decoder.DecodeRaw(r.Object, &policy); err != nil {
		return badRequest(fmt.Errorf("decode the IsolationPolicy: %w", err))
	}
	if r.Operation == admissionv1.Update {
		// A wrong spec that got in is not made worse by a label, and must not hold a finalizer.
		var old v1alpha1.IsolationPolicy
		if h.decoder.DecodeRaw(r.OldObject, &old) == nil && equality.Semantic.DeepEqual(old.Spec, policy.Spec) {
			return admission.Allowed("")
		}
	}
	if _, err := isolation.Compile(&policy); err != nil {
		return invalid(err)
	}
	return admission.Allowed("").WithWarnings(within(caveats(&policy, h.clock.Now()), "", maxWarnings)...)
}

// invalid refuses a policy; the error tells each field that is wrong on a line of its own.
func invalid(err error) admission.Response {
	wrong := strings.Split(err.Error(), "\n")
	for i := range wrong {
		wrong[i] = isolation.Sanitize(wrong[i], maxLine)
	}
	r := admission.Denied(strings.Join(within(wrong, "\n", maxMessage), "\n"))
	r.Result.Code, r.Result.Reason = http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	return r
}
