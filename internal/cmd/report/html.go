// SPDX-License-Identifier: Apache-2.0

package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

//go:embed html/report.html
var pageText string

//go:embed html/report.css
var styleText string

//go:embed html/report.js
var scriptText string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"lower":  strings.ToLower,
	"status": func(p policyRow, condition string) conditionValue { return p.Status[condition] },
}).Parse(pageText))

// document is what the template shows.
type document struct {
	*overview
	// Policy is the Content-Security-Policy: nothing is loaded from anywhere, and nothing runs but the one
	// script and style, known by their hashes.
	Policy     string
	Style      template.CSS
	Script     template.JS
	Axes       []isolation.Axis
	Conditions []string
	Tallies    []tally
	Spaces     section[namespaceRow]
	Machines   section[nodeRow]
	Matrix     section[podRow]
	Agents     []agentTally
}

// section is the rows that are shown, and how many are left out.
type section[T any] struct {
	Rows  []T
	Left  int
	Total int
}

func sectionOf[T any](all []T, limit int) section[T] {
	shown := bounded(all, limit)
	return section[T]{shown, len(all) - len(shown), len(all)}
}

// tally is how many pods have a verdict, and its part of the bar, in thousandths.
type tally struct {
	Verdict       verdict
	Pods          int
	Offset, Width int
}

type agentTally struct {
	State ledger.AgentState
	Nodes int
}

// Cells are the axes of a pod, for the template.
func (p podRow) Cells() []cell { return p.cells() }

// Beside is what is wrong beside the axes, for the template.
func (p podRow) Beside() []string { return p.beside() }

// Each is the lowest levels in order, for the template.
func (l levels) Each() []isolation.Level { return l[:] }

// Demanded tells whether a policy requires anything here.
func (c cell) Demanded() bool { return c.Required != isolation.None }

// More tells whether the required level is worth telling beside the observed one.
func (c cell) More() bool { return c.Demanded() && c.Required != c.Observed }

// writeHTML writes the overview as one HTML file, with at most limit rows in each table.
func writeHTML(out io.Writer, o *overview, limit int) error {
	p := &document{
		overview: o, Style: template.CSS(styleText), Script: template.JS(scriptText), //nolint:gosec // our own text
		Policy: "default-src 'none'; style-src " + hashOf(styleText) + "; script-src " + hashOf(scriptText) + "; img-src data:; base-uri 'none'; form-action 'none'",
		Axes:   isolation.Axes[:], Conditions: conditions,
		Spaces: sectionOf(o.Namespaces, limit), Machines: sectionOf(o.Nodes, limit), Matrix: sectionOf(o.Pods, limit),
	}
	offset := 0
	for _, v := range verdicts {
		n := *o.Totals.of(v)
		t := tally{Verdict: v, Pods: n, Offset: offset}
		if n > 0 {
			// The end is reckoned from the start: what is rounded does not add up.
			t.Width = (end(o, v)*1000)/o.Totals.Pods - offset
			offset += t.Width
		}
		p.Tallies = append(p.Tallies, t)
	}
	for _, s := range agentStates {
		if n := o.Totals.Agents[s]; n > 0 {
			p.Agents = append(p.Agents, agentTally{s, n})
		}
	}
	return pageTemplate.Execute(out, p)
}

// end is how many pods have this verdict or a worse one.
func end(o *overview, v verdict) int {
	n := 0
	for _, worse := range verdicts[:rank(v)+1] {
		n += *o.Totals.of(worse)
	}
	return n
}

// hashOf is a source of a Content-Security-Policy.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Good tells whether a condition is as an owner wants to see it.
func (c conditionValue) Good() bool { return c.Status == "True" }
