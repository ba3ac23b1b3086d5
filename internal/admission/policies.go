// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	kjson "sigs.k8s.io/json"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// policyHandler says of a policy what its schema cannot: that it does not compile, that its engine
// cannot carry it out, what its author should know, and which pods violate it. A deletion is never
// in question.
type policyHandler struct {
	clock clock.PassiveClock
	log   logr.Logger
	// expressible tells why a policy cannot be carried out by the API server itself.
	expressible func(*v1alpha1.IsolationPolicy) error
	pods        population
	// mayEvict tells whether the manager may evict.
	mayEvict func(context.Context) (bool, error)
}

// handle answers one review.
func (h *policyHandler) handle(ctx context.Context, _ string, body []byte) (*answer, error) {
	r, err := decodeReview[json.RawMessage](body)
	if err != nil {
		return nil, err
	}
	if r.Resource.Group != v1alpha1.Group || r.Resource.Resource != "isolationpolicies" || r.SubResource != "" {
		return nil, badRequest(fmt.Errorf("asked to judge %s, subresource %q: only isolationpolicies can be judged here; put right the rules of the webhook configuration",
			r.Resource, r.SubResource))
	}
	switch r.Operation {
	case admissionv1.Delete:
		return allowed(r.UID), nil
	case admissionv1.Create, admissionv1.Update:
	default:
		return nil, badRequest(fmt.Errorf("asked to judge %q of a policy: only CREATE and UPDATE can be judged; put right the rules of the webhook configuration", r.Operation))
	}
	policy, err := decodePolicy(r.Object)
	if err != nil {
		return nil, badRequest(fmt.Errorf("decode the IsolationPolicy: %w", err))
	}
	var old *v1alpha1.IsolationPolicy
	if r.Operation == admissionv1.Update {
		// One that cannot be read is taken to have been another.
		old, _ = decodePolicy(r.OldObject)
		// A wrong spec that got in is not made worse by a label, and must not hold a finalizer.
		if old != nil && equality.Semantic.DeepEqual(old.Spec, policy.Spec) {
			return allowed(r.UID), nil
		}
	}
	return h.judge(ctx, r, old, policy), nil
}

// judge a policy that is new, or is to replace old.
func (h *policyHandler) judge(ctx context.Context, r *request[json.RawMessage], old, policy *v1alpha1.IsolationPolicy) *answer {
	a := allowed(r.UID)
	compiled, err := isolation.Compile(policy)
	if err == nil && compiled.Engine == v1alpha1.EngineValidatingAdmissionPolicy {
		if err = h.expressible(policy); err != nil {
			err = fmt.Errorf("spec.admission.engine: the API server cannot carry this policy out by itself; the engine Webhook can: %w", err)
		}
	}
	if err != nil {
		a.verdict = verdictDenied
		a.refuse(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, perLine(err))
		return a
	}
	now := h.clock.Now()
	told := append(h.unarmed(ctx, policy), isolation.Caveats(policy, now)...)
	affected, err := h.pods.affected(ctx, compileOld(old), compiled, now)
	if err != nil {
		h.log.Error(err, "Nobody was told which pods violate a policy")
		affected = []string{"bulkhead: which pods violate this policy could not be found out in time: its status will tell"}
	}
	a.Warnings = within(append(affected, told...), "", maxWarnings)
	if len(a.Warnings) > 0 {
		a.verdict = verdictWarned
	}
	return a
}

// decodePolicy reads a policy; its kind must be what it says, if it says one.
func decodePolicy(raw []byte) (*v1alpha1.IsolationPolicy, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, errors.New("there is none in the request")
	}
	p := &v1alpha1.IsolationPolicy{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, p); err != nil {
		return nil, err
	}
	if p.APIVersion+p.Kind != "" && (p.Kind != "IsolationPolicy" || p.APIVersion != v1alpha1.GroupVersion.String()) {
		return nil, fmt.Errorf("it is a %q of %q", p.Kind, p.APIVersion)
	}
	return p, nil
}

// compileOld is what a policy demanded before; nil if that was nothing.
func compileOld(old *v1alpha1.IsolationPolicy) *isolation.Policy {
	if old == nil {
		return nil
	}
	compiled, err := isolation.Compile(old)
	if err != nil {
		return nil
	}
	return compiled
}

// perLine is an error that tells each field that is wrong on a line of its own.
func perLine(err error) string {
	wrong := strings.Split(err.Error(), "\n")
	for i := range wrong {
		wrong[i] = isolation.Sanitize(wrong[i], maxLine)
	}
	return strings.Join(within(wrong, "\n", maxMessage), "\n")
}
