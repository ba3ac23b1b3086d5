// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/byhand"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// print writes the explanation for people.
func (e *explanation) print(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "Pod %s/%s%s\n", e.pod.Namespace, e.pod.Name, e.where())
	fmt.Fprintf(out, "%s\n\n", e.who())
	e.axes(out)
	e.policies(out)
	e.seen(out)
	return out.Flush()
}

func (e *explanation) where() string {
	if e.node == "" {
		return ""
	}
	return " on node " + e.node
}

// who says who observed it, and when.
func (e *explanation) who() string {
	if e.sight.Unseen != "" {
		return "Nobody has observed it: " + isolation.Sanitize(e.sight.Unseen, 512) + "."
	}
	text := fmt.Sprintf("Observed by the agent of its node, which was alive %s ago; what it saw has been so for %s or longer.",
		ago(e.now, e.renewed), ago(e.now, e.changed))
	if e.sight.Doubt != "" {
		text += "\nIt may have less than that: " + isolation.Sanitize(e.sight.Doubt, 512) + "."
	}
	return text
}

func ago(now, then time.Time) string { return max(0, now.Sub(then)).Round(time.Second).String() }

// axes is the table of what is required, claimed and observed.
func (e *explanation) axes(out io.Writer) {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "AXIS\tREQUIRED\tCLAIMED\tOBSERVED\tBY POLICY")
	for _, a := range isolation.Axes {
		required, by := e.required(a)
		observed := "not seen"
		if e.sight.Unseen == "" {
			observed = level(e.sight.Levels[a])
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a, level(required), level(e.claimed[a]), observed, by)
	}
	_ = t.Flush() // the buffer below remembers the error
}

func level(l isolation.Level) string {
	if l == isolation.None {
		return "-"
	}
	return l.String()
}

// required is the most that a policy demands on the axis, without regard to exemptions, and which do.
func (e *explanation) required(a isolation.Axis) (most isolation.Level, by string) {
	var names []string
	for i := range e.verdicts {
		p := e.verdicts[i].policy
		switch demanded := p.Required()[a]; {
		case demanded == isolation.None || demanded < most:
			continue
		case demanded > most:
			most, names = demanded, nil
		}
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return isolation.None, "-"
	}
	return most, strings.Join(names, ", ")
}

// policies are the verdicts, with what to change.
func (e *explanation) policies(out io.Writer) {
	fmt.Fprintln(out)
	for i := range e.verdicts {
		v := &e.verdicts[i]
		fmt.Fprintf(out, "Policy %s (%s): %s\n", v.policy.Name, v.policy.Action, v.verdict())
		for j := range v.Findings {
			f := &v.Findings[j]
			fmt.Fprintf(out, "  - %s%s\n", f.Kind, about(string(f.Axis), f.Portal)+": "+isolation.Sanitize(f.Message, 1024))
		}
	}
	for _, reason := range e.broken {
		fmt.Fprintf(out, "Not judged: %s\n", isolation.Sanitize(reason, 1024))
	}
	switch {
	case len(e.verdicts) == 0 && e.others == 0:
		fmt.Fprintln(out, "There is no policy: nothing is required.")
	case e.others > 0:
		fmt.Fprintf(out, "Policies that do not match it: %d\n", e.others)
	}
}

func about(axis, portal string) string {
	if axis+portal == "" {
		return ""
	}
	return " (" + isolation.Sanitize(axis+portal, 64) + ")"
}

// verdict in words.
func (v *verdict) verdict() string {
	words := map[isolation.Class]string{
		isolation.Exempt: "exempt", isolation.Breached: "breached, it has less than is required", isolation.Compliant: "satisfied, and seen to be",
		isolation.Violating: "violated, its spec asks for less than is required", isolation.Unverified: "not verified",
	}
	text := words[v.Class]
	if len(v.Exempt) > 0 {
		text += " (needs the exemption " + strings.Join(v.Exempt, ", ") + ")"
	}
	return text
}

// seen are the findings of the node's report, with how to check them.
func (e *explanation) seen(out io.Writer) {
	if len(e.sight.Findings) == 0 {
		return
	}
	fmt.Fprintf(out, "\nFound on node %s, whatever the policies say:\n", e.node)
	for i := range e.sight.Findings {
		f := &e.sight.Findings[i]
		container := ""
		if f.Container != "" {
			container = "container " + isolation.Sanitize(f.Container, 63) + ": "
		}
		fmt.Fprintf(out, "  - %s%s: %s%s\n", f.Kind, about(string(f.Axis), f.Portal), container, isolation.Sanitize(f.Message, 1024))
		if check := checkOf(f); check != "" {
			fmt.Fprintf(out, "    check on the node: %s\n", check)
		}
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
	case f.Kind == v1alpha1.Leak:
		return fmt.Sprintf("ls -l /proc/%[1]d/cwd /proc/%[1]d/root /proc/%[1]d/fd", e.PID)
	case f.Kind == v1alpha1.Portal:
		return fmt.Sprintf("cat /proc/%[1]d/mountinfo /proc/%[1]d/status", e.PID)
	}
	return ""
}
