// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// tables writes the overview for a terminal, with at most limit rows in each table.
func (o *overview) tables(out io.Writer, limit int) error {
	t := &tables{out: out, limit: limit}
	c := &o.Totals
	t.line("%d pods in %d namespaces on %d nodes, read at %s; %d seen by an agent", c.Pods, c.Namespaces, c.Nodes, o.GeneratedAt, c.Seen)
	var parts []string
	for _, v := range verdicts {
		parts = append(parts, fmt.Sprintf("%d %s", *c.of(v), strings.ToLower(string(v))))
	}
	t.line("%s; %d findings", strings.Join(parts, ", "), c.Findings)
	rows(t, "policies", "POLICY\tACTION\tACCEPTED\tENFORCED\tVERIFIED\tMATCHED\tBREACHED\tVIOLATING\tUNVERIFIED\tEXEMPT\tCOMPLIANT\tFINDINGS", o.Policies, func(p *policyRow) string {
		n := p.Pods
		if n == nil {
			const nobody = "-\t-\t-\t-\t-\t-\t-"
			return join(p.Name, p.Action, p.status(), nobody)
		}
		return join(p.Name, p.Action, p.status(), n.Matched, n.Breached, n.Violating, n.Unverified, n.Exempt, n.Compliant, p.Findings)
	})
	const counted = "PODS\tSEEN\tBREACHED\tVIOLATING\tUNVERIFIED\tFINDINGS\t"
	rows(t, "namespaces", "NAMESPACE\t"+counted+"LOWEST: "+axisHead(), o.Namespaces, func(n *namespaceRow) string {
		return join(n.Name, n.columns(), n.Lowest.columns())
	})
	rows(t, "nodes", "NODE\tAGENT\t"+counted+"LOWEST: "+axisHead(), o.Nodes, func(n *nodeRow) string {
		return join(n.Name, n.Agent, n.columns(), n.Lowest.columns())
	})
	rows(t, "pods", "POD\tNODE\tVERDICT\t"+axisHead()+"\tBESIDE", o.Pods, func(p *podRow) string {
		var cells []string
		for _, c := range p.cells() {
			cells = append(cells, c.String())
		}
		beside := "-"
		if what := p.beside(); len(what) > 0 {
			beside = "!" + strings.Join(what, " !")
		}
		return join(p.Namespace+"/"+p.Name, cmp.Or(p.Node, "-"), p.Verdict, strings.Join(cells, "\t"), beside)
	})
	t.line("\nLevels of pods are OBSERVED/REQUIRED, or OBSERVED alone where nothing is required; ! is less than required, ? proves nothing, ~ is exempt.")
	t.line("BESIDE is what is wrong that no axis shows: portals, or an Escape from the container's cgroup; bulkhead explain pod NAME -n NAMESPACE tells more.")
	for _, note := range o.Notes {
		t.line("note: %s", note)
	}
	return t.err
}

func (p *policyRow) status() string {
	var out []string
	for _, name := range conditions {
		out = append(out, p.Status[name].Status)
	}
	return strings.Join(out, "\t")
}

// tables writes until there is an error, and keeps that.
type tables struct {
	out   io.Writer
	limit int
	err   error
}

func (t *tables) line(format string, values ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format+"\n", values...)
	}
}

// rows writes a table, unless it would be empty, and says what it leaves out.
func rows[T any](t *tables, what, head string, all []T, row func(*T) string) {
	if len(all) == 0 || t.err != nil {
		return
	}
	t.line("")
	w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, head)
	shown := bounded(all, t.limit)
	for i := range shown {
		fmt.Fprintln(w, row(&shown[i]))
	}
	t.err = w.Flush()
	if more := len(all) - len(shown); more > 0 {
		t.line("... and %d more %s: --limit 0 shows all, -o json has them", more, what)
	}
}

// bounded are the first of all rows; a limit of 0 bounds nothing.
func bounded[T any](all []T, limit int) []T {
	if limit > 0 && len(all) > limit {
		return all[:limit]
	}
	return all
}

func join(values ...any) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprint(v)
	}
	return strings.Join(parts, "\t")
}

func axisHead() string {
	var names []string
	for _, a := range isolation.Axes {
		names = append(names, strings.ToUpper(a.String()))
	}
	return strings.Join(names, "\t")
}

func (c *counts) columns() string {
	return join(c.Pods, c.Seen, c.Breached, c.Violating, c.Unverified, c.Findings)
}

func (l levels) columns() string {
	var out []string
	for _, a := range isolation.Axes {
		out = append(out, cmp.Or(l[a].String(), "-"))
	}
	return strings.Join(out, "\t")
}

// marks tell states in a table.
var marks = map[state]string{below: "!", unknown: "?", exempted: "~"}

// String is the cell in a table.
func (c cell) String() string {
	text := marks[c.State] + c.Observed.String()
	if c.demanded() {
		text += "/" + c.Required.String()
	}
	return text
}

// tables writes the readiness for a terminal.
func (r *readiness) tables(out io.Writer, limit int) error {
	t := &tables{out: out, limit: limit}
	c := &r.Totals
	t.line("%d pods, read at %s: %d have a user namespace of their own, %d are ready for one, %d unclear, %d blocked; of %d root is root on the node, as an agent saw",
		c.Pods, r.GeneratedAt, c.Own, c.Ready, c.Unclear, c.Blocked, c.SeenAtHost)
	rows(t, "namespaces", "NAMESPACE\tPODS\tOWN\tREADY\tUNCLEAR\tBLOCKED\tSEEN AT HOST\tIN THE WAY (PODS)", r.Namespaces, func(n *readyNamespace) string {
		return join(n.Name, n.Pods, n.Own, n.Ready, n.Unclear, n.Blocked, n.SeenAtHost, inTheWay(n.Obstacles))
	})
	rows(t, "obstacles", "IN THE WAY\tWHAT HAPPENS\tPODS\tFOR EXAMPLE", r.Obstacles, func(o *obstacleCount) string {
		return join(o.Reason, o.Kind, o.Pods, o.Example)
	})
	rows(t, "pods", "POD\tNODE\tSTATE\tSEEN\tIN THE WAY", r.Pods, func(p *podWithObstacles) string {
		var reasons []string
		for _, o := range p.Obstacles {
			reasons = append(reasons, o.Field+" ("+string(o.Kind)+")")
		}
		return join(p.Namespace+"/"+p.Name, cmp.Or(p.Node, "-"), p.State, p.Observed, cmp.Or(strings.Join(reasons, ", "), "-"))
	})
	return t.err
}

// inTheWay names reasons, the most frequent first.
func inTheWay(reasons map[string]int) string {
	names := slices.SortedFunc(maps.Keys(reasons), func(x, y string) int {
		return cmp.Or(-cmp.Compare(reasons[x], reasons[y]), cmp.Compare(x, y))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, reasons[name])
	}
	return cmp.Or(strings.Join(names, ", "), "-")
}
