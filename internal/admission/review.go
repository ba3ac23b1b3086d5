// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// request is what is read of an [admissionv1.AdmissionRequest]. Its objects are typed, so that a
// review is decoded in one pass, and what nobody asks for, such as managedFields, is skipped.
type request[Object any] struct {
	UID         types.UID                   `json:"uid"`
	Kind        metav1.GroupVersionKind     `json:"kind"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	SubResource string                      `json:"subResource"`
	Name        string                      `json:"name"`
	Namespace   string                      `json:"namespace"`
	Operation   admissionv1.Operation       `json:"operation"`
	UserInfo    struct {
		Username string      `json:"username"`
		Groups   few[string] `json:"groups"`
	} `json:"userInfo"`
	Object    Object `json:"object"`
	OldObject Object `json:"oldObject"`
}

// reviewVersion and reviewKind are of the only reviews that are answered: the webhook configuration
// asks for no other.
var reviewVersion = admissionv1.SchemeGroupVersion.String()

const reviewKind = "AdmissionReview"

// decodeReview reads a review as the API server writes it: JSON, names with their case, each once.
// What encoding/json will be (its second version) reads it, in one pass.
func decodeReview[Object any](body []byte) (*request[Object], error) {
	var review struct {
		metav1.TypeMeta `json:",inline"`
		Request         *request[Object] `json:"request"`
	}
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, badRequest(fmt.Errorf("decode the AdmissionReview: %w", err))
	}
	if review.Kind != reviewKind || review.APIVersion != reviewVersion {
		return nil, badRequest(fmt.Errorf("asked to answer kind %q of %q: only AdmissionReview of %s is answered; put right admissionReviewVersions in the webhook configuration",
			review.Kind, review.APIVersion, reviewVersion))
	}
	if review.Request == nil || review.Request.UID == "" {
		return nil, badRequest(errors.New("the AdmissionReview holds no request with a uid"))
	}
	return review.Request, nil
}

// An answer is what became of one review.
type answer struct {
	admissionv1.AdmissionResponse
	// verdict as in metrics.
	verdict string
}

// A failure is a review that cannot be answered. The call itself then fails, with this HTTP status,
// and the API server does as failurePolicy says: it refuses where a Deny policy asked for that, and
// nowhere else. A refusal in an answer would refuse everywhere.
type failure struct {
	code   int
	reason metav1.StatusReason
	err    error
}

// Error is the reason, sanitised: it may quote the request.
func (f *failure) Error() string { return isolation.Sanitize(f.err.Error(), maxLine) }

// Unwrap is the reason as it is.
func (f *failure) Unwrap() error { return f.err }

// status is what the caller is told. The API server passes the message of a Status on.
func (f *failure) status() *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(f.code), Reason: f.reason, Message: "bulkhead: " + f.Error(),
	}
}

func badRequest(err error) *failure {
	return &failure{http.StatusBadRequest, metav1.StatusReasonBadRequest, err}
}

func tooLarge(limit int) *failure {
	return &failure{http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge,
		fmt.Errorf("the AdmissionReview is larger than %d bytes, which two objects of the largest size that the API server takes do not reach", limit)}
}

func tooMany(limit int) *failure {
	return &failure{http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge,
		fmt.Errorf("the AdmissionReview holds more than %d JSON objects, which two of the largest pods that can be judged do not reach", limit)}
}

func unavailable(err error) *failure {
	return &failure{http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err}
}

func overloaded(err error) *failure {
	return &failure{http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, err}
}

// failed makes a failure of any error.
func failed(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{http.StatusInternalServerError, metav1.StatusReasonInternalError, err}
}
