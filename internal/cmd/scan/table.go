// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// table writes a row per container and per group of processes, a row per finding, and the counts. What
// is wide has more columns and may be wider than the screen.
func (r *result) table(out io.Writer, s screen, wide bool) error {
	levels := r.levels(wide)
	limit := s.width
	if wide {
		limit = 0
	}
	between, name := levels.fit(limit)
	if err := levels.write(out, s, between, name); err != nil {
		return err
	}
	if findings := r.listFindings(wide, name); len(findings) > 0 {
		fmt.Fprintln(out)
		if err := findings.write(out, s, gap, findings.widths()[0]); err != nil {
			return err
		}
	}
	if len(levels) > 0 {
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprintln(out, r.summary())
	return err
}

// levels are the rows of containers, and below them those of processes in none.
func (r *result) levels(wide bool) matrix {
	var m matrix
	if len(r.Containers) > 0 {
		m = append(m, levelsHead("CONTAINER", wide))
	}
	for i := range r.Containers {
		m = append(m, r.Containers[i].row(wide))
	}
	if len(r.Unshared) > 0 {
		if len(m) > 0 {
			m = append(m, nil)
		}
		m = append(m, levelsHead("UNSHARED", wide))
	}
	for i := range r.Unshared {
		m = append(m, r.Unshared[i].row(wide))
	}
	return m
}

func levelsHead(first string, wide bool) []cell {
	texts := []string{first}
	if wide {
		texts = append(texts, "RUNTIME", "POD", "PIDS", "COMMAND")
	}
	for _, a := range isolation.Axes {
		texts = append(texts, strings.ToUpper(a.String()))
	}
	if wide {
		texts = append(texts, "CGROUP")
	}
	return coloured(bold, texts...)
}

func coloured(colour string, texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, text := range texts {
		row[i] = cell{text, colour}
	}
	return row
}

func (c *container) row(wide bool) []cell {
	uid := ""
	if c.Pod != nil {
		uid = c.Pod.UID
	}
	levels := levelCells(c.Axes)
	if c.Sandbox && c.Axes[isolation.PID.String()].Level == "" {
		levels[0].text = "sandbox" // as such it has no levels
	}
	row := coloured(plain, short(c.ID))
	if !wide {
		return append(row, levels...)
	}
	row = append(row, coloured(plain, told(c.Runtime), told(uid), listPIDs(c.PIDs), told(c.Command))...)
	return append(append(row, levels...), cell{text: told(c.Cgroup)})
}

func (u *unshared) row(wide bool) []cell {
	pid := strconv.Itoa(u.PIDs[0])
	if !wide {
		return append(coloured(plain, pid+" "+u.Command), levelCells(u.Axes)...)
	}
	row := append(coloured(plain, pid, "-", "-", listPIDs(u.PIDs), told(u.Command)), levelCells(u.Axes)...)
	return append(row, cell{text: "-"})
}

func levelCells(axes map[string]axis) []cell {
	var row []cell
	for _, a := range isolation.Axes {
		level := axes[a.String()].Level
		row = append(row, cell{told(level), colourOf(level)})
	}
	return row
}

// told is a text, or what stands for none.
func told(text string) string { return cmp.Or(text, "-") }

// listPIDs lists the first processes.
func listPIDs(pids []int) string {
	const most = 4
	parts := make([]string, min(len(pids), most))
	for i := range parts {
		parts[i] = strconv.Itoa(pids[i])
	}
	text := told(strings.Join(parts, ","))
	if more := len(pids) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// listFindings are the rows of what was found, with names of containers as above.
func (r *result) listFindings(wide bool, name int) matrix {
	var m matrix
	for i := range r.Containers {
		c := &r.Containers[i]
		for _, f := range c.told() {
			row := []cell{{f.Kind, colourOfKind(f.Kind)}}
			row = append(row, coloured(plain, cut(short(c.ID), name), told(cmp.Or(f.Axis, f.Portal)))...)
			if r.judged {
				row = append(row, cell{text: told(f.Policy)})
			}
			if wide {
				row = append(row, coloured(plain, f.evidence()...)...)
			}
			m = append(m, append(row, cell{text: f.Message}))
		}
	}
	if len(m) == 0 {
		return nil
	}
	head := []string{"FINDING", "CONTAINER", "ABOUT"}
	if r.judged {
		head = append(head, "POLICY")
	}
	if wide {
		head = append(head, "PID", "INODE", "OWNER", "CHECK")
	}
	return slices.Insert(m, 0, coloured(bold, append(head, "MESSAGE")...))
}

// evidence is what can be checked by hand: the process, where it is, whose that is, and how.
func (f *finding) evidence() []string {
	e := f.Evidence
	if e == nil {
		return []string{"-", "-", "-", "-"}
	}
	inode := ""
	if e.Inode != 0 {
		inode = strconv.FormatUint(e.Inode, 10)
	}
	return []string{strconv.Itoa(f.PID), told(inode), told(e.Owner), told(e.Check)}
}

// told are the findings for people: what could not be read is one for all axes.
func (c *container) told() []finding {
	var out []finding
	unread, axes := -1, 0
	for _, f := range c.Findings {
		switch {
		case f.Kind != string(v1alpha1.Unverified) || f.Evidence != nil || f.Axis == "":
			out = append(out, f)
		case unread < 0:
			unread, axes = len(out), 1
			out = append(out, f)
		default:
			out[unread].Axis += "," + f.Axis
			axes++
		}
	}
	if axes == isolation.NumAxes {
		out[unread].Axis = "all"
	}
	return out
}

// wrongs are the kinds of findings that something is wrong, the worst first.
var wrongs = []v1alpha1.FindingKind{
	v1alpha1.Escape, v1alpha1.Foreign, v1alpha1.Leak, v1alpha1.Portal, v1alpha1.Orphan, v1alpha1.Breach,
}

// summary counts: "3 containers: 1 Escape, 2 Breach; not everything could be read".
func (r *result) summary() string {
	counts := make(map[v1alpha1.FindingKind]int)
	for i := range r.Containers {
		for j := range r.Containers[i].Findings {
			counts[v1alpha1.FindingKind(r.Containers[i].Findings[j].Kind)]++
		}
	}
	text := "no containers"
	if n := len(r.Containers); n > 0 {
		var parts []string
		for _, k := range wrongs {
			if n := counts[k]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, k))
			}
		}
		text = plural(n, "container", "containers") + ": " + cmp.Or(strings.Join(parts, ", "), "nothing found to be wrong")
	}
	if n := len(r.Unshared); n > 0 {
		text += "; " + plural(n, "group of processes", "groups of processes") + " unshared"
	}
	if counts[v1alpha1.Unverified] > 0 {
		text += "; not everything could be read"
	}
	return text
}
