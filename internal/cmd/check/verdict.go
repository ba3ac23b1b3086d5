// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// verdict is what policies say of a pod.
type verdict string

const (
	allowed verdict = "allowed"
	exempt  verdict = "exempt"
	audited verdict = "audited"
	warned  verdict = "warned"
	denied  verdict = "denied"
)

// order of verdicts, the worst first.
var order = []verdict{denied, warned, audited, exempt, allowed}

// worse is the worse of two verdicts.
func worse(a, b verdict) verdict {
	for _, v := range order {
		if v == a || v == b {
			return v
		}
	}
	return allowed
}

// result is one judged pod or template, as JSON shows it. All text is sanitised.
type result struct {
	Kind       string      `json:"kind"`
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Verdict    verdict     `json:"verdict"`
	Violations []violation `json:"violations"`

	// What only the table tells: the policies that match, the exemptions that were needed, and
	// whether a selector was taken to match for want of the namespace's labels.
	matched bool
	exempts []exemption
	guessed bool
}

// violation is one field that asks for too much, under one policy.
type violation struct {
	Policy  string `json:"policy"`
	Axis    string `json:"axis,omitempty"`
	Portal  string `json:"portal,omitempty"`
	Field   string `json:"field"`
	Value   string `json:"value"`
	Message string `json:"message"`

	// What only the table tells.
	verdict verdict
	about   string
	guessed bool
}

type exemption struct{ policy, name string }

// judgeAll judges every target by every policy. The notes say what was taken for granted.
func judgeAll(g *gathered) (results []result, notes []string) {
	results = make([]result, 0, len(g.targets))
	unknown := make(map[string]bool)
	matched := false
	for i := range g.targets {
		t := &g.targets[i]
		r := t.judge(g.policies, g.namespaces)
		if r.guessed && !unknown[t.subject.Namespace] {
			unknown[t.subject.Namespace] = true
			notes = append(notes, fmt.Sprintf(
				"the labels of namespace %s are not known, and every namespaceSelector is taken to match it: give them with --namespaces",
				shown(t.subject.Namespace)))
		}
		matched = matched || r.matched
		results = append(results, r)
	}
	if len(results) > 0 && !matched {
		notes = append(notes, "no policy matches anything in the input")
	}
	return results, notes
}

func (t *target) judge(by []*isolation.Policy, known namespaces) result {
	r := result{
		Kind: shown(t.kind), Namespace: shown(t.subject.Namespace), Name: shown(t.name),
		Verdict: allowed, Violations: []violation{},
	}
	for _, p := range by {
		subject, unknown := known.in(t.subject, p)
		j := p.Judge(&subject)
		if !j.Matched {
			continue
		}
		r.matched, r.guessed = true, r.guessed || unknown
		r.add(&j, unknown)
	}
	return r
}

// add takes one policy's judgement.
func (r *result) add(j *isolation.Judgement, guessed bool) {
	for _, name := range j.Exempt {
		r.exempts = append(r.exempts, exemption{shown(j.Policy.Name), shown(name)})
	}
	for i := range j.Violations {
		v := &j.Violations[i]
		r.Violations = append(r.Violations, violation{
			Policy: shown(v.Policy), Axis: v.Axis, Portal: v.Portal,
			Field: v.Field, Value: v.Value, Message: isolation.Sanitize(v.Message, messageLimit),
			verdict: verdictOf(j.Policy.Action), about: v.Subject(), guessed: guessed,
		})
	}
	switch {
	case len(j.Violations) > 0:
		r.Verdict = worse(r.Verdict, verdictOf(j.Policy.Action))
	case len(j.Exempt) > 0:
		r.Verdict = worse(r.Verdict, exempt)
	}
}

// verdictOf is the verdict on a pod that violates a policy with the action.
func verdictOf(action v1alpha1.AdmissionAction) verdict {
	switch action {
	case v1alpha1.Audit:
		return audited
	case v1alpha1.Warn:
		return warned
	default:
		return denied
	}
}
