// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// The longest foreign text that is shown: names are at most 253 bytes, messages hold a path and a
// value.
const (
	nameLimit    = 253
	messageLimit = 4096
)

// shown makes a name that came from a file safe to show.
func shown(name string) string { return isolation.Sanitize(name, nameLimit) }

// report is everything that is printed.
type report struct {
	results []result
	limit   verdict // from which on the run fails
	version string  // of this program
}

// printers are the formats.
var printers = map[string]func(*report, io.Writer) error{
	"table": (*report).table,
	"json":  (*report).json,
	"yaml":  (*report).yaml,
	"sarif": (*report).sarif,
	"junit": (*report).junit,
}

// formats names them, in the order of the help.
func formats() []string { return []string{"table", "json", "yaml", "sarif", "junit"} }

// print writes the results in the format.
func (r *report) print(out io.Writer, format string) error {
	buffered := bufio.NewWriter(out)
	if err := printers[format](r, buffered); err != nil {
		return err
	}
	return buffered.Flush()
}

func (r *report) json(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false) // "<unset>" is a value
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Results []result `json:"results"`
	}{r.results})
}

// yaml writes the same as JSON, as kubectl's printer does.
func (r *report) yaml(out io.Writer) error {
	var text bytes.Buffer
	if err := r.json(&text); err != nil {
		return err
	}
	converted, err := yaml.JSONToYAML(text.Bytes())
	if err != nil {
		return err
	}
	_, err = out.Write(converted)
	return err
}

// table writes a row per violation, or per verdict where there is none, and the counts.
func (r *report) table(out io.Writer) error {
	if len(r.results) > 0 {
		t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "VERDICT\tWHERE\tKIND\tNAMESPACE\tNAME\tPOLICY\tABOUT\tMESSAGE")
		for i := range r.results {
			r.results[i].rows(t)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out, r.summary())
	return err
}

func (r *result) rows(out io.Writer) {
	for i := range r.Violations {
		v := &r.Violations[i]
		r.row(out, v.Verdict, v.location, v.Policy, v.about(), v.text())
	}
	if len(r.Violations) == 0 {
		r.row(out, r.Verdict, r.location, r.exemptBy(), "-", r.why())
	}
}

func (r *result) row(out io.Writer, v verdict, at location, policy, about, message string) {
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v, r.where(at), r.Kind, r.Namespace, r.title(), policy, about, message)
}

// where is the line, compact, as compilers tell it.
func (r *result) where(at location) string {
	if r.place.Built {
		return at.File + " (built):" + strconv.Itoa(at.Line)
	}
	return at.File + ":" + strconv.Itoa(at.Line)
}

// title is the name, if it has one.
func (r *result) title() string {
	if r.Name == "" {
		return "<no name>"
	}
	return r.Name
}

// exemptBy names the policies under which the pod is exempt.
func (r *result) exemptBy() string {
	var names []string
	for i := range r.by {
		if j := &r.by[i]; len(j.exempted) > 0 {
			names = append(names, shown(j.policy.Name))
		}
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

// why explains a verdict without violations.
func (r *result) why() string {
	var names []string
	guessed := false
	for i := range r.by {
		guessed = guessed || r.by[i].guessed
		for _, e := range r.by[i].exemptions() {
			names = append(names, e.Name)
		}
	}
	text := "-"
	switch {
	case r.Verdict == excluded:
		return "admission does not ask about this namespace"
	case len(r.by) == 0:
		return "no policy matches it"
	case len(names) > 0:
		text = "by exemption " + strings.Join(names, ", ")
	}
	if guessed {
		text += guess
	}
	return text
}

// summary counts the results: "2 denied, 1 warned, 3 allowed".
func (r *report) summary() string {
	counts := make(map[verdict]int)
	for i := range r.results {
		counts[r.results[i].Verdict]++
	}
	var parts []string
	for _, v := range order {
		if n := counts[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "nothing to judge"
	}
	return strings.Join(parts, ", ")
}
