// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the style and the script of the page
	"encoding/base64"
	"io"
)

//go:embed html/report.css
var styleText string

//go:embed html/report.js
var scriptText string

// document is what the page shows of an overview.
type document struct {
	*overview
	// limit is how many rows a table has at most; 0 for all.
	limit   int
	tallies []tally
}

// tally is how many pods have a verdict, and its part of the bar, in thousandths.
type tally struct {
	Verdict       verdict
	Pods          int
	Offset, Width int
}

// writeHTML writes the overview as one HTML file, with at most limit rows in each table.
func writeHTML(out io.Writer, o *overview, limit int) error {
	d := &document{overview: o, limit: limit}
	offset := 0
	for _, v := range verdicts {
		n := *o.Totals.of(v)
		t := tally{Verdict: v, Pods: n, Offset: offset}
		if n > 0 {
			// The end is reckoned from the start: what is rounded does not add up.
			t.Width = (end(o, v)*1000)/o.Totals.Pods - offset
			offset += t.Width
		}
		d.tallies = append(d.tallies, t)
	}
	buffered := bufio.NewWriter(out)
	if err := d.page().Render(buffered); err != nil {
		return err
	}
	return buffered.Flush()
}

// policy is the Content-Security-Policy: nothing is loaded from anywhere, and nothing runs but the one
// script and style, known by their hashes.
func (*document) policy() string {
	return "default-src 'none'; style-src " + hashOf(styleText) + "; script-src " + hashOf(scriptText) + "; img-src data:; base-uri 'none'; form-action 'none'"
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
