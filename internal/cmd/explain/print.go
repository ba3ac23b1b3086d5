// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// formats are what --output can be.
var formats = []string{"text", "json", "yaml"}

// print writes the explanation in the format.
func (e *explanation) print(w io.Writer, format string) error {
	out := bufio.NewWriter(w)
	t := e.tell()
	switch format {
	case "json":
		j := json.NewEncoder(out)
		j.SetEscapeHTML(false)
		j.SetIndent("", "  ")
		if err := j.Encode(t); err != nil {
			return err
		}
	case "yaml":
		text, err := yaml.Marshal(t)
		if err != nil {
			return err
		}
		_, _ = out.Write(text) // the buffer remembers the error
	default:
		t.text(out, e.now)
	}
	return out.Flush()
}

// text writes it for people. Errors are the writer's to remember.
func (t *told) text(out *bufio.Writer, now time.Time) {
	fmt.Fprintf(out, "Pod %s/%s", t.Pod.Namespace, t.Pod.Name)
	if t.Pod.Node != "" {
		fmt.Fprintf(out, " on node %s", t.Pod.Node)
	}
	fmt.Fprintf(out, "\n%s\n\n", t.Observation.text(now))
	t.axesTable(out)
	fmt.Fprintln(out)
	t.portalsTable(out)
	t.verdicts(out)
	t.found(out, now)
}

// text says who observed it, and when.
func (o *observer) text(now time.Time) string {
	if o.Unseen != "" {
		return "Nobody has observed it: " + o.Unseen + "."
	}
	text := fmt.Sprintf("Observed by the agent of node %s, which was alive %s ago; what it saw has been so for %s or longer.",
		o.Report, ago(now, o.AliveAt), ago(now, o.ChangedAt))
	if o.Doubt != "" {
		text += "\nIt may have less than that: " + o.Doubt + "."
	}
	return text
}

// ago is how long a stamp is past.
func ago(now time.Time, stamp string) string {
	then, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return "an unknown time"
	}
	return max(0, now.Sub(then)).Round(time.Second).String()
}

// axesTable is what is required, claimed and observed on the axes.
func (t *told) axesTable(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "AXIS\tREQUIRED\tCLAIMED\tOBSERVED\tBY POLICY")
	for i := range t.Axes {
		r := &t.Axes[i]
		observed := cmp.Or(string(r.Observed), "-")
		if t.Observation.Unseen != "" {
			observed = "not seen"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Axis, cmp.Or(string(r.Required), "-"), cmp.Or(string(r.Claimed), "-"), observed, cmp.Or(strings.Join(r.Policies, ", "), "-"))
	}
	_ = w.Flush() // the buffer below remembers the error
}

// observed are the words for what was seen of a portal.
var observed = map[string]string{
	portalAsClaimed: "as claimed", portalOpen: "open, not claimed", portalNotSeen: "not seen", portalNoLook: "-",
}

// portalsTable is the same for the portals. The lists of paths and capabilities come last, for they are long.
func (t *told) portalsTable(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PORTAL\tREQUIRED\tCLAIMED\tOBSERVED\tBY POLICY")
	for i := range t.Portals {
		r := &t.Portals[i]
		var demands, by []string
		for _, d := range r.Required {
			by = append(by, d.Policy)
			if !slices.Contains(demands, d.Demand) {
				demands = append(demands, d.Demand)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Portal, shorten(demands, "-"), shorten(r.values(), "nothing"), observed[r.Observed], cmp.Or(strings.Join(by, ", "), "-"))
	}
	_ = w.Flush() // the buffer below remembers the error
}

// values are those that the spec asks for, each once.
func (r *portalRow) values() []string {
	var values []string
	for _, c := range r.Claimed {
		if !slices.Contains(values, c.Value) {
			values = append(values, c.Value)
		}
	}
	return values
}

// shorten joins the first of what has no room in a column.
func shorten(values []string, none string) string {
	const most, width = 3, 40
	if len(values) == 0 {
		return none
	}
	text := isolation.Sanitize(strings.Join(values[:min(most, len(values))], ", "), width)
	if more := len(values) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// verdicts are those of the policies, with what to change.
func (t *told) verdicts(out io.Writer) {
	fmt.Fprintln(out)
	for i := range t.Policies {
		p := &t.Policies[i]
		fmt.Fprintf(out, "Policy %s (%s): %s\n", p.Name, p.Action, p.words())
		for j := range p.Findings {
			f := &p.Findings[j]
			fmt.Fprintf(out, "  - %s%s: %s\n", f.Kind, about(f.Axis, f.Portal), f.Message)
			if f.Change != "" {
				fmt.Fprintf(out, "    to do: %s\n", f.Change)
			}
		}
		for j := range p.OutOfSight {
			f := &p.OutOfSight[j]
			fmt.Fprintf(out, "  - %s%s, found before, and nobody can see whether it lasts: %s\n", f.Kind, about(f.Axis, f.Portal), f.Message)
		}
	}
	for _, reason := range t.NotJudged {
		fmt.Fprintf(out, "Not judged: %s\n", reason)
	}
	switch {
	case len(t.Policies)+len(t.NotJudged)+t.NotMatching == 0:
		fmt.Fprintln(out, "There is no policy: nothing is required.")
	case t.NotMatching > 0:
		fmt.Fprintf(out, "Policies that do not match it: %d\n", t.NotMatching)
	}
}

func about(axis, portal string) string {
	if axis+portal == "" {
		return ""
	}
	return " (" + axis + portal + ")"
}

// words are the verdict for people.
func (p *policyRow) words() string {
	text := map[string]string{
		"Exempt": "exempt", "Breached": "breached, it has less than is required", "Compliant": "satisfied, and seen to be",
		"Violating": "violated, its spec asks for less than is required", "Unverified": "not verified",
	}[p.Verdict]
	if len(p.Exemptions) > 0 {
		text += " (needs the exemption " + strings.Join(p.Exemptions, ", ") + ")"
	}
	return text
}

// found are the findings of the node's report, with how to check them.
func (t *told) found(out io.Writer, now time.Time) {
	if len(t.Findings) == 0 {
		return
	}
	fmt.Fprintf(out, "\nFound on node %s, whatever the policies say:\n", t.Pod.Node)
	for i := range t.Findings {
		f := &t.Findings[i]
		where := ""
		if f.Container != "" {
			where = "container " + f.Container + ": "
		}
		fmt.Fprintf(out, "  - %s%s: %s%s\n", f.Kind, about(f.Axis, f.Portal), where, f.Message)
		if f.FirstSeen != "" {
			fmt.Fprintf(out, "    first seen %s ago\n", ago(now, f.FirstSeen))
		}
		if f.Check != "" {
			fmt.Fprintf(out, "    check on the node: %s\n", f.Check)
		}
	}
}
