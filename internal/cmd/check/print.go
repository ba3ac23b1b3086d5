// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

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

// print writes the results in the format.
func print(out io.Writer, format string, results []result) error {
	buffered := bufio.NewWriter(out)
	var err error
	if format == "json" {
		err = printJSON(buffered, results)
	} else {
		err = printTable(buffered, results)
	}
	if err != nil {
		return err
	}
	return buffered.Flush()
}

func printJSON(out io.Writer, results []result) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false) // "<unset>" is a value
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Results []result `json:"results"`
	}{results})
}

// printTable writes a row per violation, or per verdict where there is none, and the counts.
func printTable(out io.Writer, results []result) error {
	if len(results) > 0 {
		t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "VERDICT\tKIND\tNAMESPACE\tNAME\tPOLICY\tABOUT\tMESSAGE")
		for i := range results {
			r := &results[i]
			for j := range r.Violations {
				v := &r.Violations[j]
				r.row(t, v.verdict, v.Policy, v.about, v.Message, v.guessed)
			}
			if len(r.Violations) == 0 {
				r.row(t, r.Verdict, r.exemptBy(), "-", r.why(), r.guessed)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out, summary(results))
	return err
}

func (r *result) row(out io.Writer, v verdict, policy, about, message string, guessed bool) {
	if guessed {
		message += " (the namespace's labels are not known)"
	}
	name := r.Name
	if name == "" {
		name = "<no name>"
	}
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v, r.Kind, r.Namespace, name, policy, about, message)
}

// exemptBy names the policies under which the pod is exempt.
func (r *result) exemptBy() string {
	var names []string
	for i, e := range r.exempts {
		if i == 0 || e.policy != r.exempts[i-1].policy {
			names = append(names, e.policy)
		}
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

// why explains a verdict without violations.
func (r *result) why() string {
	switch {
	case !r.matched:
		return "no policy matches it"
	case len(r.exempts) == 0:
		return "-"
	}
	names := make([]string, len(r.exempts))
	for i, e := range r.exempts {
		names[i] = e.name
	}
	return "by exemption " + strings.Join(names, ", ")
}

// summary counts the results: "2 denied, 1 warned, 3 allowed".
func summary(results []result) string {
	counts := make(map[verdict]int)
	for i := range results {
		counts[results[i].Verdict]++
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
