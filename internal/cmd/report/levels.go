// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// levels is a vector as JSON shows it: an object with the axes in their order, without those of which
// nothing is said.
type levels isolation.Vector

// MarshalJSON writes names of axes and levels, which need no escapes.
func (l levels) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for _, a := range isolation.Axes {
		if l[a] == isolation.None {
			continue
		}
		separator := ","
		if b.Len() == 0 {
			separator = "{"
		}
		fmt.Fprintf(&b, "%s%q:%q", separator, a, l[a])
	}
	if b.Len() == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// raise raises the levels to what else is required, where that is more.
func (l *levels) raise(required isolation.Vector) {
	for a := range l {
		l[a] = max(l[a], required[a])
	}
}

// state says how what was observed on one axis stands to what is required there.
type state string

const (
	// below: less than is required was observed, or a finding is about this axis.
	below state = "below"
	// unknown: it was not seen, or what was seen proves nothing.
	unknown state = "unknown"
	// exempted: less than is required, and an exemption opens it.
	exempted state = "exempt"
	// met: seen at or above what is required.
	met state = "met"
	// free: seen, and nothing is required.
	free state = "free"
)

// cell is one pod on one axis.
type cell struct {
	Axis               isolation.Axis
	Observed, Required isolation.Level
	State              state
}

// demanded tells whether a policy requires anything here.
func (c cell) demanded() bool { return c.Required != isolation.None }

// cell tells how the pod stands on an axis.
func (p *podRow) cell(a isolation.Axis) cell {
	c := cell{Axis: a, Observed: p.Observed[a], Required: p.Required[a]}
	found := false
	for i := range p.Findings {
		f := &p.Findings[i]
		found = found || f.Axis == a.String() && f.Kind != unverifiedKind
	}
	switch {
	case found && c.Observed.Known():
		c.State = below
	case c.Observed.Below(c.Required):
		c.State = exempted
	case !c.Observed.Known() || p.Doubt != "":
		c.State = unknown
	case c.Required == isolation.None:
		c.State = free
	default:
		c.State = met
	}
	return c
}

// beside is what is wrong with the pod and no axis shows: portals by their names, all else by its kind, each once.
func (p *podRow) beside() []string {
	var out []string
	for i := range p.Findings {
		f := &p.Findings[i]
		if what := cmp.Or(f.Portal, f.Kind); f.Axis == "" && f.Kind != unverifiedKind && !slices.Contains(out, what) {
			out = append(out, what)
		}
	}
	return out
}

// cells are all axes in order.
func (p *podRow) cells() []cell {
	out := make([]cell, 0, isolation.NumAxes)
	for _, a := range isolation.Axes {
		out = append(out, p.cell(a))
	}
	return out
}
