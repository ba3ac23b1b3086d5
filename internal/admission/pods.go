// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

var errNotRead = errors.New("this replica has not read the policies yet: try again in a moment")

// podHandler judges pods when they are created and debug containers when they are added. It
// judges by every policy that matches, whichever entry of the webhook configuration it was called
// for: the API server passes on the first refusal only.
type podHandler struct {
	// policies as in store.
	policies   func() ([]*isolation.Policy, bool)
	namespaces *namespaces
	decoder    admission.Decoder
	clock      clock.PassiveClock
	metrics    *instruments
	// judge is (*isolation.Policy).Judge.
	judge func(*isolation.Policy, *isolation.Subject) isolation.Judgement
}

// review is what there is to judge of a request.
type review struct {
	subject *isolation.Subject
	// what names it in messages.
	what string
	// mirrorOf as in verdict.
	mirrorOf string
}

// Handle answers one request. It admits nothing that it could not judge.
func (h *podHandler) Handle(ctx context.Context, req admission.Request) (resp admission.Response) {
	done := h.metrics.began()
	name := verdictError
	defer func() {
		if r := recover(); r != nil {
			h.panicked(ctx, r, "")
			resp = unjudged(http.StatusInternalServerError, metav1.StatusReasonInternalError,
				errors.New("this pod could not be judged: a defect of Bulkhead, its log tells where"))
		}
		done(name)
	}()
	policies, ok := h.policies()
	if !ok {
		return unjudged(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, errNotRead)
	}
	review, err := h.read(ctx, &req.AdmissionRequest)
	if err != nil {
		return badRequest(err)
	}
	verdict := h.judgeAll(ctx, policies, review)
	name = verdict.name()
	resp = verdict.response(review.what)
	if len(verdict.deny) > 0 {
		logf.FromContext(ctx).Info("A pod violates policies", "verdict", name, "pod", review.what, "violations", len(verdict.deny))
	}
	return resp
}

// judgeAll asks every policy.
func (h *podHandler) judgeAll(ctx context.Context, policies []*isolation.Policy, r *review) *verdict {
	v := &verdict{mirrorOf: r.mirrorOf}
	for _, p := range policies {
		j, ok := h.judgeBy(ctx, p, r.subject)
		for _, e := range j.Exempt {
			v.exempt = append(v.exempt, p.Name+"/"+e)
		}
		switch p.Action {
		case v1alpha1.Warn:
			v.warn = append(v.warn, j.Violations...)
		case v1alpha1.Audit:
			v.audit = append(v.audit, j.Violations...)
		default:
			v.deny = append(v.deny, j.Violations...)
			v.broken = v.broken || !ok
		}
	}
	return v
}

// judgeBy asks one policy. A panic is held against the pod by that policy alone: one that only
// warns refuses nobody, not even by a defect.
func (h *podHandler) judgeBy(ctx context.Context, p *isolation.Policy, s *isolation.Subject) (j isolation.Judgement, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			h.panicked(ctx, r, p.Name)
			j = isolation.Judgement{Policy: p, Matched: true, Violations: []isolation.Violation{{
				Policy: p.Name, Message: "this pod could not be judged: a defect of Bulkhead, its log tells where",
			}}}
			ok = false
		}
	}()
	return h.judge(p, s), true
}

func (h *podHandler) panicked(ctx context.Context, r any, policy string) {
	h.metrics.panics.Inc()
	logf.FromContext(ctx).Error(fmt.Errorf("panic: %s", isolation.Sanitize(fmt.Sprint(r), 1024)), "A pod could not be judged",
		"policy", policy, "stack", string(debug.Stack()))
}

var podResource = metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
var podKind = metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}

// read finds out what there is to judge.
func (h *podHandler) read(ctx context.Context, r *admissionv1.AdmissionRequest) (*review, error) {
	created := r.SubResource == "" && r.Operation == admissionv1.Create
	extended := r.SubResource == "ephemeralcontainers" && r.Operation == admissionv1.Update
	if r.Resource != podResource || r.Kind != podKind || !created && !extended {
		return nil, fmt.Errorf("asked to judge %s of %s, subresource %q: only CREATE of v1 pods and UPDATE of their ephemeralcontainers can be judged; put right the rules of the webhook configuration",
			r.Operation, r.Resource, r.SubResource)
	}
	if r.Namespace == "" {
		return nil, errors.New("the request names no namespace")
	}
	var pod corev1.Pod
	if err := h.decoder.DecodeRaw(r.Object, &pod); err != nil {
		return nil, fmt.Errorf("decode the pod: %w", err)
	}
	if len(pod.Spec.Containers) == 0 {
		return nil, errors.New("decode the pod: it has no containers, and the API server lets no such pod pass: this is something else")
	}
	pod.Namespace = r.Namespace
	set, known := h.namespaces.labels(ctx, r.Namespace)
	s := isolation.NewSubject(&pod, set)
	s.NamespaceUnknown = !known
	out := &review{subject: s, what: describe(r, &pod)}
	if created {
		s.Created = h.clock.Now()
		if isMirror(r, &pod) {
			out.mirrorOf = pod.Spec.NodeName
		}
		return out, nil
	}
	var old corev1.Pod
	if err := h.decoder.DecodeRaw(r.OldObject, &old); err != nil {
		return nil, fmt.Errorf("decode the pod as it was: %w", err)
	}
	s.Debug = added(&old, &pod)
	return out, nil
}

// added names the ephemeral containers that the update adds; never nil. What was there cannot be
// changed or removed.
func added(old, pod *corev1.Pod) []string {
	had := make(map[string]bool, len(old.Spec.EphemeralContainers))
	for i := range old.Spec.EphemeralContainers {
		had[old.Spec.EphemeralContainers[i].Name] = true
	}
	names := []string{}
	for i := range pod.Spec.EphemeralContainers {
		if name := pod.Spec.EphemeralContainers[i].Name; !had[name] {
			names = append(names, name)
		}
	}
	return names
}

// describe names the subject. A pod that is created by a controller may have no name yet.
func describe(r *admissionv1.AdmissionRequest, pod *corev1.Pod) string {
	name := `"` + isolation.Sanitize(cmp.Or(pod.Name, r.Name), 253) + `"`
	if name == `""` {
		name = `"` + isolation.Sanitize(pod.GenerateName, 253) + `..."`
	}
	if r.SubResource != "" {
		return "what is added to pod " + name
	}
	return "pod " + name
}
