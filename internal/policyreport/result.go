// SPDX-License-Identifier: Apache-2.0

package policyreport

import (
	"slices"
	"strings"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// category of every result.
const category = "Isolation"

// maxMessage is how long the message of a result may be.
const maxMessage = 1024

// Properties of a result.
const (
	// propertyNode is where the pod runs.
	propertyNode = "node"
	// propertyState is how the policy counts the pod.
	propertyState = "state"
	// propertyFindings are the kinds of what was found, worst first.
	propertyFindings = "findings"
)

// resultOf is what one policy says of one pod, as one result: so the summary counts pods as the policy's
// status does.
func resultOf(a *ledger.Assessed) openreports.ReportResult {
	outcome, state := outcomeOf(a.Class)
	r := openreports.ReportResult{
		Source: Source, Policy: a.Policy.Name, Rule: rule(a.Findings), Category: category,
		Severity: severity(a), Result: outcome, Scored: true,
		Subjects: []corev1.ObjectReference{{
			APIVersion: "v1", Kind: "Pod", Namespace: a.Pod.Namespace, Name: a.Pod.Name, UID: a.Pod.UID,
		}},
		Description: isolation.Sanitize(message(a), maxMessage),
		Properties:  map[string]string{propertyState: state},
	}
	if node := a.Pod.Node; node != "" {
		r.Properties[propertyNode] = node
	}
	if kinds := listed(a.Findings, func(f *v1alpha1.PolicyFinding) string { return string(f.Kind) }); kinds != "" {
		r.Properties[propertyFindings] = isolation.Sanitize(kinds, 256)
	}
	return r
}

// outcomeOf is the result that stands for a class. Unverified is the format's error, "the policy could not
// be evaluated": skip would say that nobody wanted to know.
func outcomeOf(c isolation.Class) (result openreports.Result, state string) {
	switch c {
	case isolation.Breached:
		return "fail", "breached"
	case isolation.Violating:
		return "fail", "violating"
	case isolation.Exempt:
		return "skip", "exempt"
	case isolation.Compliant:
		return "pass", "compliant"
	default:
		return "error", "unverified"
	}
}

// severity is that of the worst finding, and info where nothing is held against the pod.
func severity(a *ledger.Assessed) openreports.ResultSeverity {
	if len(a.Findings) == 0 || a.Class == isolation.Exempt {
		return "info"
	}
	switch a.Findings[0].Kind {
	case v1alpha1.Escape, v1alpha1.Foreign, v1alpha1.Leak:
		return "critical"
	case v1alpha1.Violation, v1alpha1.Unverified:
		return "medium"
	default:
		return "high"
	}
}

// rule names the axes and portals that are concerned.
func rule(findings []v1alpha1.PolicyFinding) string {
	return isolation.Sanitize(listed(findings, func(f *v1alpha1.PolicyFinding) string { return string(f.Axis) + f.Portal }), 256)
}

// listed is something of each finding, each once, in their order.
func listed(findings []v1alpha1.PolicyFinding, of func(*v1alpha1.PolicyFinding) string) string {
	var out []string
	for i := range findings {
		if s := of(&findings[i]); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return strings.Join(out, ",")
}

func message(a *ledger.Assessed) string {
	var parts []string
	for i := range a.Findings {
		parts = append(parts, a.Findings[i].Message)
	}
	switch {
	case a.Class == isolation.Exempt:
		parts = append([]string{"exempt by " + strings.Join(a.Exempt, ", ")}, parts...)
	case len(parts) == 0:
		parts = []string{"the pod asks for what is required, and was observed so"}
	}
	return strings.Join(parts, "; ")
}
