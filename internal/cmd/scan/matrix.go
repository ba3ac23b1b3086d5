// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"io"
	"strings"
)

// cell is a text of a table and its colour. text/tabwriter cannot be used: it takes the escape
// sequences of colours for text, and knows no width to stay within.
type cell struct{ text, colour string }

// matrix are rows of cells, the first of a row a name. A row without cells is an empty line.
type matrix [][]cell

// gap is between columns, narrowGap where there is no room; leastName is what a name is cut to at most.
const gap, narrowGap, leastName = 2, 1, 8

// fit cuts names and narrows the gaps until the rows are no wider than that, as far as that goes; a
// width of 0 is no limit. It tells the gap and the width of names.
func (m matrix) fit(width int) (between, name int) {
	widths := m.widths()
	if len(widths) == 0 {
		return gap, 0
	}
	others := 0
	for _, w := range widths[1:] {
		others += w
	}
	columns, longest := len(widths)-1, widths[0]
	if width == 0 {
		return gap, longest
	}
	for _, between = range []int{gap, narrowGap} {
		if name = min(longest, width-others-columns*between); name >= min(longest, shortLength) {
			return between, name
		}
	}
	return narrowGap, max(name, min(longest, leastName))
}

// widths are those of the columns.
func (m matrix) widths() []int {
	var widths []int
	for _, row := range m {
		for i := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(row[i].text))
		}
	}
	return widths
}

// write writes the rows with names cut to that width.
func (m matrix) write(out io.Writer, s screen, between, name int) error {
	widths := m.widths()
	for _, row := range m {
		var line strings.Builder
		for i, c := range row {
			text, width := c.text, widths[i]
			if i == 0 {
				text, width = cut(text, name), min(width, name)
			}
			line.WriteString(s.paint(text, c.colour))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", between+width-len(text)))
			}
		}
		if _, err := fmt.Fprintln(out, line.String()); err != nil {
			return err
		}
	}
	return nil
}

// cut shortens a name and shows that, unless it is an ID, of which the first digits say which it is, or
// there is no room.
func cut(name string, width int) string {
	const ellipsis = "..."
	switch {
	case len(name) <= width:
		return name
	case isID(name) || width < shortLength:
		return name[:width]
	}
	return name[:width-len(ellipsis)] + ellipsis
}

// isID tells whether a name is the ID of a container or the beginning of one.
func isID(name string) bool {
	return len(name) >= shortLength && strings.Trim(name, "0123456789abcdef") == ""
}

// shortLength is how much runtimes show of their IDs.
const shortLength = 12

// short is an ID as runtimes show it. Other names stay whole.
func short(name string) string {
	if len(name) == 64 && isID(name) {
		return name[:shortLength]
	}
	return name
}
