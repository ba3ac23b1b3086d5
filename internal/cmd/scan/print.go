// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// print writes the result in the format.
func print(out io.Writer, format string, r *result) error {
	buffered := bufio.NewWriter(out)
	var err error
	switch format {
	case "yaml":
		var text []byte
		if text, err = yaml.Marshal(r); err == nil {
			_, err = buffered.Write(text)
		}
	case "json":
		e := json.NewEncoder(buffered)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	default:
		err = r.table(buffered)
	}
	if err != nil {
		return err
	}
	return buffered.Flush()
}

// table writes a row per container, a row per finding, and the counts.
func (r *result) table(out io.Writer) error {
	if len(r.Containers) > 0 {
		if err := r.levels(out); err != nil {
			return err
		}
	}
	if r.findings() > 0 {
		fmt.Fprintln(out)
		if err := r.listFindings(out); err != nil {
			return err
		}
	}
	if len(r.Containers) > 0 {
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprintln(out, r.summary())
	return err
}

func (r *result) levels(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	head := []string{"CONTAINER", "RUNTIME", "POD", "PROCESSES"}
	for _, a := range isolation.Axes {
		head = append(head, strings.ToUpper(a.String()))
	}
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for i := range r.Containers {
		c := &r.Containers[i]
		row := []string{c.shortID(), cmp.Or(c.Runtime, "-"), "-", fmt.Sprint(len(c.PIDs))}
		if c.Sandbox {
			row[0] += " (sandbox)"
		}
		if c.Pod != nil {
			row[2] = c.Pod.UID
		}
		for _, a := range isolation.Axes {
			row = append(row, cmp.Or(c.Axes[a.String()].Level, "-"))
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

func (r *result) listFindings(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "FINDING\tCONTAINER\tAXIS/PORTAL\tPOLICY\tMESSAGE")
	for i := range r.Containers {
		c := &r.Containers[i]
		for _, f := range c.told() {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.Kind, c.shortID(), cmp.Or(f.Axis, f.Portal, "-"), cmp.Or(f.Policy, "-"), f.Message)
		}
	}
	return t.Flush()
}

// told are the findings for people: what could not be read is one for all axes.
func (c *container) told() []finding {
	var out []finding
	unread := -1
	for _, f := range c.Findings {
		switch {
		case f.Kind != string(v1alpha1.Unverified) || f.Evidence != nil || f.Axis == "":
			out = append(out, f)
		case unread < 0:
			unread = len(out)
			out = append(out, f)
		default:
			out[unread].Axis += "," + f.Axis
		}
	}
	return out
}

func (r *result) findings() int {
	n := 0
	for i := range r.Containers {
		n += len(r.Containers[i].Findings)
	}
	return n
}

// wrongs are the kinds of findings that something is wrong, the worst first.
var wrongs = []v1alpha1.FindingKind{
	v1alpha1.Escape, v1alpha1.Foreign, v1alpha1.Leak, v1alpha1.Portal, v1alpha1.Orphan, v1alpha1.Breach,
}

// summary counts: "3 containers: 1 Escape, 2 Breach; not everything could be read".
func (r *result) summary() string {
	if len(r.Containers) == 0 {
		return "no containers"
	}
	counts := make(map[v1alpha1.FindingKind]int)
	for i := range r.Containers {
		for j := range r.Containers[i].Findings {
			counts[v1alpha1.FindingKind(r.Containers[i].Findings[j].Kind)]++
		}
	}
	var parts []string
	for _, k := range wrongs {
		if n := counts[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	text := plural(len(r.Containers), "container", "containers") + ": "
	if len(parts) == 0 {
		text += "nothing found to be wrong"
	} else {
		text += strings.Join(parts, ", ")
	}
	if counts[v1alpha1.Unverified] > 0 {
		text += "; not everything could be read"
	}
	return text
}
