// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	kjson "sigs.k8s.io/json"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// templateHandler warns whoever applies a workload of what will become of its pods. It refuses
// nothing, whatever happens: a template is judged before anything is injected into its pods, so
// what is wrong with it may be put right, and what is right may not stay so.
//
// It tells of every policy that matches, whatever its engine: the API server speaks of the pod
// only, to a controller, whom nobody hears. What a controller makes (a Deployment's ReplicaSet, a
// CronJob's Job) is told to nobody for the same reason: who made the Deployment was told.
type templateHandler struct {
	// policies as in store.
	policies   func() ([]*isolation.Policy, bool)
	namespaces *namespaces
	clock      clock.PassiveClock
	metrics    *instruments
	log        logr.Logger
	// judge is (*isolation.Policy).Judge.
	judge func(*isolation.Policy, *isolation.Subject) isolation.Judgement
}

// handle answers one review. The only error is a review whose request cannot be told: it has no
// name to answer to.
func (h *templateHandler) handle(ctx context.Context, body []byte) (*answer, error) {
	r, err := decodeReview[json.RawMessage](body)
	if err != nil {
		return nil, err
	}
	a := allowed(r.UID)
	told, err := h.warnings(ctx, r)
	if err != nil {
		a.verdict = verdictError
		told = []string{"bulkhead: the template of these pods was not judged: " + isolation.Sanitize(err.Error(), maxWarning-64)}
	}
	if len(told) > 0 {
		a.Warnings = told
		if err == nil {
			a.verdict = verdictWarned
		}
	}
	return a, nil
}

// warnings are what there is to say. A panic is an error.
func (h *templateHandler) warnings(ctx context.Context, r *request[json.RawMessage]) (told []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.metrics.panicked(h.log, p, "")
			told, err = nil, errDefect
		}
	}()
	object := isolation.NewWorkload(r.Resource)
	if object == nil || r.SubResource != "" || r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
		return nil, fmt.Errorf("asked to judge %s of %s, subresource %q: only CREATE and UPDATE of workloads can be judged; put right the rules of the webhook configuration",
			r.Operation, r.Resource, r.SubResource)
	}
	policies, ok := h.policies()
	if !ok {
		return nil, errNotRead
	}
	if len(r.Object) == 0 || string(r.Object) == "null" {
		return nil, errors.New("there is none in the request")
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(r.Object, object); err != nil {
		return nil, fmt.Errorf("decode the %s: %w", r.Kind.Kind, err)
	}
	template, path := isolation.TemplateOf(object)
	if template == nil || metav1.GetControllerOf(object) != nil {
		return nil, nil
	}
	if r.Operation == admissionv1.Update {
		// What cannot be read is taken to have been another template.
		old := isolation.NewWorkload(r.Resource)
		if kjson.UnmarshalCaseSensitivePreserveInts(r.OldObject, old) == nil {
			if before, _ := isolation.TemplateOf(old); before != nil && equality.Semantic.DeepEqual(before, template) {
				return nil, nil
			}
		}
	}
	s := isolation.NewTemplateSubject(template, r.Namespace, path)
	set, known := h.namespaces.labels(ctx, r.Namespace)
	s.NamespaceLabels, s.NamespaceUnknown, s.Created = set, !known, h.clock.Now()
	return h.judgeAll(policies, s), nil
}

// judgeAll tells what every policy will say of the template's pods, what is worst first.
func (h *templateHandler) judgeAll(policies []*isolation.Policy, s *isolation.Subject) []string {
	found := map[v1alpha1.AdmissionAction][]isolation.Violation{}
	for _, p := range policies {
		j := h.judge(p, s)
		found[p.Action] = append(found[p.Action], j.Violations...)
	}
	var out []string
	for _, will := range []struct {
		action v1alpha1.AdmissionAction
		be     string
	}{
		{v1alpha1.Deny, "refused"}, {v1alpha1.Warn, "admitted with a warning"}, {v1alpha1.Audit, "admitted and audited"},
	} {
		out = append(out, lines("bulkhead: its pods would be "+will.be+": ", maxWarning, found[will.action])...)
	}
	return within(out, "", maxWarnings)
}
