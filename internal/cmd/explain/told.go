// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/byhand"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/report"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// The longest foreign text that is shown: a name or a field, and everything else.
const nameLimit, textLimit = 253, 1024

// told is the explanation as it is told, as JSON shows it. All text is sanitised.
type told struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// GeneratedAt is when the cluster was read, RFC 3339, UTC.
	GeneratedAt string      `json:"generatedAt"`
	Pod         toldPod     `json:"pod"`
	Observation observer    `json:"observation"`
	Axes        []axisRow   `json:"axes"`
	Portals     []portalRow `json:"portals"`
	// Policies that match the pod.
	Policies []policyRow `json:"policies"`
	// NotMatching is how many policies do not match it; NotJudged are those that cannot be served.
	NotMatching int      `json:"notMatching"`
	NotJudged   []string `json:"notJudged,omitempty"`
	// Findings of the node's report on the pod, whatever the policies say.
	Findings []foundRow `json:"findings"`
}

type toldPod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	Node      string `json:"node,omitempty"`
}

// observer is who observed the pod, and when.
type observer struct {
	// Report is the NodeIsolationReport of the agent on the pod's node; empty if nothing of it counts.
	Report string `json:"report,omitempty"`
	// AliveAt is when the agent last said that what it reported holds, ChangedAt when that last changed.
	AliveAt   string `json:"aliveAt,omitempty"`
	ChangedAt string `json:"changedAt,omitempty"`
	// Unseen is why nobody has observed the pod, Doubt why it may have less than what was observed.
	Unseen string `json:"unseen,omitempty"`
	Doubt  string `json:"doubt,omitempty"`
	// Inspected is set if mounts, privileges and open files of all containers were looked at.
	Inspected bool `json:"inspected"`
}

// axisRow is one axis side by side. Nothing is required, claimed or observed where a level is empty.
type axisRow struct {
	Axis     string         `json:"axis"`
	Required v1alpha1.Level `json:"required,omitempty"`
	Claimed  v1alpha1.Level `json:"claimed,omitempty"`
	Observed v1alpha1.Level `json:"observed,omitempty"`
	// Policies require that much.
	Policies []string `json:"policies"`
}

type policyRow struct {
	Name   string `json:"name"`
	Action string `json:"action"`
	// Verdict is the class in which the policy counts the pod.
	Verdict  string `json:"verdict"`
	Verified bool   `json:"verified"`
	// Exemptions that the pod needs.
	Exemptions []string        `json:"exemptions"`
	Findings   []policyFinding `json:"findings"`
	// OutOfSight are findings of before of which nobody can see whether they last.
	OutOfSight []policyFinding `json:"outOfSight,omitempty"`
}

type policyFinding struct {
	Kind    string `json:"kind"`
	Axis    string `json:"axis,omitempty"`
	Portal  string `json:"portal,omitempty"`
	Message string `json:"message"`
	// Change is what to do, where the message does not say it.
	Change string `json:"change,omitempty"`
}

type foundRow struct {
	Kind      string `json:"kind"`
	Axis      string `json:"axis,omitempty"`
	Portal    string `json:"portal,omitempty"`
	Container string `json:"container,omitempty"`
	Message   string `json:"message"`
	FirstSeen string `json:"firstSeen,omitempty"`
	// Check is a command that shows it on the node.
	Check string `json:"check,omitempty"`
}

// verdicts name the classes.
var verdicts = map[isolation.Class]string{
	isolation.Exempt: "Exempt", isolation.Breached: "Breached", isolation.Violating: "Violating",
	isolation.Unverified: "Unverified", isolation.Compliant: "Compliant",
}

// tell puts it into words.
func (e *explanation) tell() *told {
	t := &told{
		APIVersion: report.APIVersion, Kind: "PodExplanation", GeneratedAt: stamp(e.now),
		Pod:         toldPod{Namespace: e.pod.Namespace, Name: e.pod.Name, UID: isolation.Sanitize(string(e.pod.UID), nameLimit), Node: isolation.Sanitize(e.node, nameLimit)},
		Observation: e.observer(), Portals: e.portals(), NotMatching: e.others,
		Policies: []policyRow{}, Findings: []foundRow{},
	}
	for _, a := range isolation.Axes {
		required, by := e.required(a)
		row := axisRow{Axis: a.String(), Required: required.API(), Claimed: e.claimed[a].API(), Policies: by}
		if e.sight.Unseen == "" {
			row.Observed = e.sight.Levels[a].API()
		}
		t.Axes = append(t.Axes, row)
	}
	for i := range e.verdicts {
		t.Policies = append(t.Policies, e.policy(&e.verdicts[i]))
	}
	for _, reason := range e.broken {
		t.NotJudged = append(t.NotJudged, isolation.Sanitize(reason, textLimit))
	}
	for i := range e.sight.Findings {
		t.Findings = append(t.Findings, foundOf(&e.sight.Findings[i]))
	}
	return t
}

// stamp is a moment as it is written; empty for none.
func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

func (e *explanation) observer() observer {
	o := observer{
		AliveAt: stamp(e.renewed), ChangedAt: stamp(e.changed), Inspected: e.sight.Inspected,
		Unseen: isolation.Sanitize(e.sight.Unseen, textLimit), Doubt: isolation.Sanitize(e.sight.Doubt, textLimit),
	}
	if o.Unseen == "" {
		o.Report = isolation.Sanitize(e.node, nameLimit)
	}
	return o
}

// required is the most that a policy demands on the axis, without regard to exemptions, and which do.
func (e *explanation) required(a isolation.Axis) (most isolation.Level, by []string) {
	by = []string{}
	for i := range e.verdicts {
		p := e.verdicts[i].policy
		switch demanded := p.Required()[a]; {
		case demanded == isolation.None || demanded < most:
			continue
		case demanded > most:
			most, by = demanded, []string{}
		}
		by = append(by, p.Name)
	}
	return most, by
}

func (e *explanation) policy(v *verdict) policyRow {
	row := policyRow{
		Name: v.policy.Name, Action: string(v.policy.Action), Verdict: verdicts[v.Class], Verified: v.Verified,
		Exemptions: append([]string{}, v.Exempt...), Findings: []policyFinding{},
	}
	for i := range v.Findings {
		f := findingOf(&v.Findings[i])
		f.Change = e.change(&v.Findings[i])
		row.Findings = append(row.Findings, f)
	}
	for i := range v.outOfSight {
		row.OutOfSight = append(row.OutOfSight, findingOf(&v.outOfSight[i]))
	}
	return row
}

func findingOf(f *v1alpha1.PolicyFinding) policyFinding {
	return policyFinding{
		Kind: string(f.Kind), Axis: string(f.Axis), Portal: isolation.Sanitize(f.Portal, nameLimit), Message: isolation.Sanitize(f.Message, textLimit),
	}
}

// change is what to do about a finding; empty if its message says it, as that of a field of the spec does.
func (e *explanation) change(f *v1alpha1.PolicyFinding) string {
	node := isolation.Sanitize(e.node, nameLimit)
	if f.Kind == v1alpha1.Unverified {
		switch {
		case e.node == "":
			return "wait until it runs"
		case e.sight.Unseen != "":
			return fmt.Sprintf("see how the agent of its node is: kubectl -n %s get pods -o wide --field-selector spec.nodeName=%s", e.install, node)
		}
		return "see what its agent says of the node: kubectl describe nodeisolationreport " + node
	}
	if f.Kind == v1alpha1.Escape && f.Axis == isolation.Cgroup.API() {
		return "find out on node " + node + " what the process does there, and who moved it; then delete the pod, and see that the process has ended: it may outlive its container"
	}
	switch e.subject.PromiseOf(f, &e.sight.Levels) {
	case isolation.Broken:
		return "its spec asks for enough, and what runs has less: delete the pod, so that it is made anew; if that does not help, the runtime of node " +
			node + " gives less than it is asked for, or somebody there opens it"
	case isolation.NeverMade:
		text := "no field of its spec decides that, but the container runtime of node " + node
		if f.Axis == isolation.Cgroup.API() {
			text += ": on a node with cgroup v2 each container gets its own"
		}
		return text
	case isolation.Unblamed:
		return "it is in one namespace with another pod, and which of the two entered the other's is not known: explain the other one, and look at both on node " + node
	}
	return ""
}

func foundOf(f *v1alpha1.NodeFinding) foundRow {
	return foundRow{
		Kind: string(f.Kind), Axis: isolation.Sanitize(string(f.Axis), nameLimit), Portal: isolation.Sanitize(f.Portal, nameLimit),
		Container: isolation.Sanitize(f.Container, nameLimit), Message: isolation.Sanitize(f.Message, textLimit),
		FirstSeen: stamp(f.FirstSeen.Time), Check: checkOf(f),
	}
}

// checkOf is a command that shows the finding. It is made of numbers here, whatever the report says: a
// report is a node's word, and people paste commands.
func checkOf(f *v1alpha1.NodeFinding) string {
	e := f.Evidence
	a, ok := isolation.ParseAxis(string(f.Axis))
	switch {
	case e == nil || e.PID <= 0:
		return ""
	case ok:
		return byhand.Namespace(a, e.PID, e.TID)
	case isolation.LeftItsCgroup(f):
		return byhand.Cgroup(e.PID)
	case f.Kind == v1alpha1.Leak:
		return fmt.Sprintf("ls -l /proc/%[1]d/cwd /proc/%[1]d/root /proc/%[1]d/fd", e.PID)
	case f.Kind == v1alpha1.Portal:
		return fmt.Sprintf("cat /proc/%[1]d/mountinfo /proc/%[1]d/status", e.PID)
	}
	return ""
}
