// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

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
func (h *templateHandler) handle(ctx context.Context, _ string, body []byte) (*answer, error) {
	r, err := decodeReview[jsontext.Value](body)
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
func (h *templateHandler) warnings(ctx context.Context, r *request[jsontext.Value]) (told []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.metrics.panicked(h.log, p, "")
			told, err = nil, errDefect
		}
	}()
	path := isolation.TemplatePath(r.Resource)
	if path == "" || r.SubResource != "" || r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
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
	var now workload
	if err := json.Unmarshal(r.Object, &now); err != nil {
		return nil, fmt.Errorf("decode the %s: %w", r.Kind.Kind, err)
	}
	template := now.template(path)
	if template == nil || now.controlled() {
		return nil, nil
	}
	if r.Operation == admissionv1.Update {
		// What cannot be read is taken to have been another template.
		var old workload
		if json.Unmarshal(r.OldObject, &old) == nil && equality.Semantic.DeepEqual(old.template(path), template) {
			return nil, nil
		}
	}
	s := isolation.NewTemplateSubject(&corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: template.Metadata.Labels}, Spec: *template.Spec.whole(),
	}, r.Namespace, path)
	set, known := h.namespaces.labels(ctx, r.Namespace)
	s.NamespaceLabels, s.NamespaceUnknown, s.Created = set, !known, h.clock.Now()
	return h.judgeAll(policies, s), nil
}

// workload is what is read of any of [isolation.Workloads].
type workload struct {
	Metadata struct {
		OwnerReferences few[metav1.OwnerReference] `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Template    *podTemplate `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template *podTemplate `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
	Template *podTemplate `json:"template"`
}

type podTemplate struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec podSpec `json:"spec"`
}

// template is the one whose spec is at a path; nil if there is none.
func (w *workload) template(path string) *podTemplate {
	switch {
	case strings.HasPrefix(path, "spec.jobTemplate."):
		return w.Spec.JobTemplate.Spec.Template
	case strings.HasPrefix(path, "spec."):
		return w.Spec.Template
	default:
		return w.Template
	}
}

// controlled tells whether a controller made the workload.
func (w *workload) controlled() bool {
	return slices.ContainsFunc(w.Metadata.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Controller != nil && *o.Controller
	})
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
