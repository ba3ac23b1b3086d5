// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

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
	clock      clock.PassiveClock
	metrics    *instruments
	log        logr.Logger
	// judge is (*isolation.Policy).Judge.
	judge func(*isolation.Policy, *isolation.Subject) isolation.Judgement
}

// pod is what is read of a Pod.
type pod struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name              string            `json:"name"`
		GenerateName      string            `json:"generateName"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
		CreationTimestamp metav1.Time       `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec podSpec `json:"spec"`
}

// check that it is a pod. The API server lets no pod without containers pass.
func (p *pod) check() error {
	if p.APIVersion+p.Kind != "" && (p.APIVersion != "v1" || p.Kind != "Pod") {
		return fmt.Errorf("it is a %q of %q", p.Kind, p.APIVersion)
	}
	if len(p.Spec.Containers) == 0 {
		return errors.New("it has no containers, and the API server lets no such pod pass: this is something else")
	}
	return nil
}

// asked is what there is to judge of a request.
type asked struct {
	subject *isolation.Subject
	// what names it in messages.
	what string
	// mirrorOf as in verdict.
	mirrorOf string
}

// handle answers one review. It admits nothing that it could not judge.
func (h *podHandler) handle(ctx context.Context, selection string, body []byte) (*answer, error) {
	policies, ok := h.policies()
	if !ok {
		return nil, unavailable(errNotRead)
	}
	r, err := decodeReview[pod](body)
	if err != nil {
		return nil, err
	}
	asked, err := h.read(ctx, r)
	if err != nil {
		return nil, badRequest(err)
	}
	asked.subject.Selection = selection
	verdict := h.judgeAll(policies, asked)
	if len(verdict.deny) > 0 && asked.mirrorOf == "" && asked.subject.NamespaceUnknown {
		// A refusal would hold even if this was asked for a policy that only warns, and the one that
		// denies may not match. Without an answer the entry decides for which this was asked.
		return nil, unavailable(fmt.Errorf("the labels of namespace %q could not be read, and policies that may select it refuse this: try again in a moment", r.Namespace))
	}
	if len(verdict.deny) > 0 {
		h.log.Info("A pod violates policies", "verdict", verdict.name(), "namespace", r.Namespace, "pod", asked.what, "violations", len(verdict.deny))
	}
	return verdict.answer(r.UID, asked.what), nil
}

// judgeAll asks every policy, but for those that the API server itself warns and audits by: nothing
// is told twice. What such a policy denies is denied here as well, if this is asked: while a policy
// changes its engine both are.
func (h *podHandler) judgeAll(policies []*isolation.Policy, a *asked) *verdict {
	v := &verdict{mirrorOf: a.mirrorOf}
	for _, p := range policies {
		if p.Action != v1alpha1.Deny && p.Engine == v1alpha1.EngineValidatingAdmissionPolicy {
			continue
		}
		j, broken := h.judgeBy(p, a.subject)
		if !j.Matched {
			continue
		}
		one := verdict{mirrorOf: a.mirrorOf, broken: broken && p.Action == v1alpha1.Deny}
		for _, e := range j.Exempt {
			one.exempt = append(one.exempt, p.Name+"/"+e)
		}
		switch p.Action {
		case v1alpha1.Warn:
			one.warn = j.Violations
		case v1alpha1.Audit:
			one.audit = j.Violations
		default:
			one.deny = j.Violations
		}
		h.metrics.verdicts.WithLabelValues(p.Name, one.name()).Inc()
		v.add(&one)
	}
	return v
}

// judgeBy asks one policy. A panic is held against the pod by that policy alone: one that only
// warns refuses nobody, not even by a defect.
func (h *podHandler) judgeBy(p *isolation.Policy, s *isolation.Subject) (j isolation.Judgement, broken bool) {
	defer func() {
		if r := recover(); r != nil {
			h.metrics.panicked(h.log, r, p.Name)
			j = isolation.Judgement{Policy: p, Matched: true, Violations: []isolation.Violation{{
				Policy: p.Name, Message: errDefect.Error(),
			}}}
			broken = true
		}
	}()
	return h.judge(p, s), false
}

var podResource = metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
var podKind = metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}

// read finds out what there is to judge.
func (h *podHandler) read(ctx context.Context, r *request[pod]) (*asked, error) {
	created := r.SubResource == "" && r.Operation == admissionv1.Create
	extended := r.SubResource == "ephemeralcontainers" && r.Operation == admissionv1.Update
	if r.Resource != podResource || r.Kind != podKind || !created && !extended {
		return nil, fmt.Errorf("asked to judge %s of %s, subresource %q: only CREATE of v1 pods and UPDATE of their ephemeralcontainers can be judged; put right the rules of the webhook configuration",
			r.Operation, r.Resource, r.SubResource)
	}
	if r.Namespace == "" {
		return nil, errors.New("the request names no namespace")
	}
	p := &r.Object
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("decode the pod: %w", err)
	}
	set, known := h.namespaces.labels(ctx, r.Namespace)
	s := &isolation.Subject{
		Namespace: r.Namespace, NamespaceLabels: set, NamespaceUnknown: !known,
		Labels: p.Metadata.Labels, Spec: p.Spec.whole(), Path: "spec", Created: p.Metadata.CreationTimestamp.Time,
	}
	out := &asked{subject: s, what: describe(r)}
	if created {
		s.Created = h.clock.Now()
		if isMirror(r) {
			out.mirrorOf = p.Spec.NodeName
		}
		return out, nil
	}
	if err := r.OldObject.check(); err != nil {
		return nil, fmt.Errorf("decode the pod as it was: %w", err)
	}
	s.Debug = added(r.OldObject.Spec.EphemeralContainers, p.Spec.EphemeralContainers)
	return out, nil
}

// added names the ephemeral containers that the update adds; never nil. What was there cannot be
// changed or removed.
func added(old, now few[ephemeralContainer]) []string {
	had := make(map[string]bool, len(old))
	for i := range old {
		had[old[i].Name] = true
	}
	names := []string{}
	for i := range now {
		if name := now[i].Name; !had[name] {
			names = append(names, name)
		}
	}
	return names
}

// describe names the subject. A pod that is created by a controller may have no name yet.
func describe(r *request[pod]) string {
	m := &r.Object.Metadata
	name := `"` + isolation.Sanitize(cmp.Or(m.Name, r.Name), 253) + `"`
	if name == `""` {
		name = `"` + isolation.Sanitize(m.GenerateName, 253) + `..."`
	}
	if r.SubResource != "" {
		return "what is added to pod " + name
	}
	return "pod " + name
}
