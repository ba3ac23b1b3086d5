// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// shower shows the results of one call.
type shower struct {
	o           *options
	out, errOut io.Writer
	screen      screen
	before      string // what was shown
	wrong       bool   // of the last look
}

// shown tells whether there was anything to show.
func (w *shower) shown() bool { return w.before != "" }

// exit ends with the code of the last look.
func (w *shower) exit() error {
	if w.wrong {
		return &exit.Error{Code: exitFindings}
	}
	return nil
}

// show writes notes and result: of a watch only what has changed, but on a screen that can be cleared.
func (w *shower) show(r *result, notes []string) error {
	w.wrong = r.wrong()
	state := r.state(len(notes))
	inPlace := w.o.watch && w.screen.colour && w.o.tabular()
	if state == w.before && !inPlace {
		return nil
	}
	if inPlace {
		fmt.Fprint(w.out, clear)
	}
	if w.o.watch && w.o.tabular() {
		if w.shown() && !inPlace {
			fmt.Fprintln(w.out)
		}
		fmt.Fprintln(w.out, heading(time.Now(), w.o.interval))
	}
	for _, note := range notes {
		fmt.Fprintf(w.errOut, "note: %s\n", note)
	}
	w.before = state
	if err := print(w.out, w.o.output, w.screen, r); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// heading is what stands above a table that is one of several.
func heading(now time.Time, interval time.Duration) string {
	return fmt.Sprintf("%s, every %s until interrupted", now.Format(time.RFC3339), interval)
}

// state is what of a result, with that many notes, makes a change: not which processes there are, for
// these come and go.
func (r *result) state(notes int) string {
	var b strings.Builder
	for i := range r.Containers {
		c := &r.Containers[i]
		fmt.Fprintf(&b, "%q %q %t %s\n", c.ID, c.Cgroup, c.Sandbox, places(c.Axes))
		var findings []string
		for j := range c.Findings {
			f := &c.Findings[j]
			findings = append(findings, fmt.Sprintf("%s %s %s %q\n", f.Kind, f.Axis, f.Portal, f.Policy))
		}
		// Of what is equally bad the order does not matter.
		slices.Sort(findings)
		b.WriteString(strings.Join(findings, ""))
	}
	for i := range r.Unshared {
		u := &r.Unshared[i]
		fmt.Fprintf(&b, "%d %q %s\n", u.PIDs[0], u.Command, places(u.Axes))
	}
	fmt.Fprintln(&b, notes)
	return b.String()
}

func places(axes map[string]axis) string {
	var parts []string
	for _, a := range isolation.Axes {
		at := axes[a.String()]
		parts = append(parts, fmt.Sprintf("%s:%d", at.Level, at.Inode))
	}
	return strings.Join(parts, " ")
}
