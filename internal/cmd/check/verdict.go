// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
)

// verdict is what policies say of a pod.
type verdict string

const (
	allowed verdict = "allowed"
	exempt  verdict = "exempt"
	audited verdict = "audited"
	warned  verdict = "warned"
	denied  verdict = "denied"
	// excluded is what admission does not ask about.
	excluded verdict = "excluded"
)

// order of verdicts, the worst first.
var order = []verdict{denied, warned, audited, exempt, excluded, allowed}

// worse is the worse of two verdicts.
func worse(a, b verdict) verdict {
	return order[min(slices.Index(order, a), slices.Index(order, b))]
}

// reaches tells whether v is at least as bad as the limit.
func (v verdict) reaches(limit verdict) bool { return worse(v, limit) == v }

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

// result is one judged pod or template, as JSON shows it. All text is sanitised.
type result struct {
	Kind      string  `json:"kind"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Verdict   verdict `json:"verdict"`
	// Where the document of the object begins.
	location
	Violations []violation `json:"violations"`
	Exempted   []exempted  `json:"exempted,omitempty"`

	// by are the judgements of the policies that match.
	by    []judgement
	place manifest.Place
}

// location is a line of a file.
type location struct {
	// File is its path as it was given, "stdin", or the folder of a kustomization: then document
	// and line are those of what kustomize builds.
	File     string `json:"file"`
	Document int    `json:"document"`
	Line     int    `json:"line"`
}

// violation is one field that asks for too much, under one policy.
type violation struct {
	Policy  string  `json:"policy"`
	Verdict verdict `json:"verdict"`
	Axis    string  `json:"axis,omitempty"`
	Portal  string  `json:"portal,omitempty"`
	Field   string  `json:"field"`
	Value   string  `json:"value"`
	Message string  `json:"message"`
	// Where the field stands, or what is above it if it is not there.
	location
	// NamespaceUnknown is set if the policy selects namespaces by labels, and those of this one are
	// not known: it was taken to match.
	NamespaceUnknown bool `json:"namespaceUnknown,omitempty"`
}

// about names the axis or the portal.
func (v *violation) about() string {
	if v.Axis != "" {
		return v.Axis
	}
	return v.Portal
}

// text is the message, with what it was judged without.
func (v *violation) text() string {
	if v.NamespaceUnknown {
		return v.Message + guess
	}
	return v.Message
}

const guess = " (the namespace's labels are not known)"

// exempted is what would be a violation but for exemptions.
type exempted struct {
	violation
	Exemptions []exemption `json:"exemptions"`
}

type exemption struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// judgement is what one policy says of a target.
type judgement struct {
	policy     *policy
	verdict    verdict
	violations []violation
	exempted   []exempted
	guessed    bool
}

// exemptions are those that were needed, each once.
func (j *judgement) exemptions() []exemption {
	var all []exemption
	for i := range j.exempted {
		for _, e := range j.exempted[i].Exemptions {
			if !slices.Contains(all, e) {
				all = append(all, e)
			}
		}
	}
	return all
}

// results is what all policies say of all targets. The notes say what was taken for granted.
func (g *gathered) results() (results []result, notes []string) {
	results = make([]result, 0, len(g.targets))
	unknown := make(map[string]bool)
	matched, left := false, 0
	for i := range g.targets {
		namespace := g.targets[i].subject.Namespace
		if slices.Contains(g.excluded, namespace) {
			left++
			results = append(results, g.targets[i].verdict(excluded))
			continue
		}
		r, guessed := g.targets[i].result(g.namespaces)
		if guessed && !unknown[namespace] {
			unknown[namespace] = true
			notes = append(notes, fmt.Sprintf(
				"the labels of namespace %s are not known, and every namespaceSelector is taken to match it: give them with --namespaces",
				shown(namespace)))
		}
		matched = matched || len(r.by) > 0
		results = append(results, r)
	}
	if left > 0 {
		notes = append(notes, fmt.Sprintf("admission does not ask about pods of %s: %d not judged; --excluded-namespaces= judges them",
			shown(strings.Join(g.excluded, ", ")), left))
	}
	if len(results) > left && !matched {
		notes = append(notes, "no policy matches anything in the input")
	}
	return results, notes
}

// verdict is a result of which nothing else is known.
func (t *target) verdict(v verdict) result {
	return result{
		Kind: shown(t.kind), Namespace: shown(t.subject.Namespace), Name: shown(t.name),
		Verdict: v, location: locationOf(t.place), Violations: []violation{}, place: t.place,
	}
}

// result joins the judgements of the policies that match. Those that would match in some namespace
// have judged already: which do is only known when all namespaces are.
func (t *target) result(known namespaces) (r result, guessed bool) {
	r = t.verdict(allowed)
	for _, j := range t.judged {
		subject, unknown := known.in(t.subject, j.policy.Policy)
		if !j.policy.Matches(&subject) {
			continue
		}
		guessed = guessed || unknown
		j.guessed = unknown
		for i := range j.violations {
			j.violations[i].place(t.place, unknown)
		}
		for i := range j.exempted {
			j.exempted[i].place(t.place, unknown)
		}
		r.by = append(r.by, j)
		r.Violations = append(r.Violations, j.violations...)
		r.Exempted = append(r.Exempted, j.exempted...)
		r.Verdict = worse(r.Verdict, j.verdict)
	}
	return r, guessed
}

// place says where the field stands; its line is known.
func (v *violation) place(at manifest.Place, unknown bool) {
	line := v.Line
	v.location = locationOf(at)
	v.Line, v.NamespaceUnknown = line, unknown
}

func locationOf(at manifest.Place) location {
	file := shown(at.File)
	if at.Stdin() {
		file = "stdin"
	}
	return location{file, at.Document, at.Line}
}
