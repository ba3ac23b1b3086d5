// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// The page is made of typed nodes, which escape all text and all values of attributes, and not of a
// template of html/template: one that is executed looks for methods by their names, so that the linker has
// to keep every exported method of every type, and the program, which is on each node, grows by half.

// page is the whole document.
func (d *document) page() g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(g.Attr("http-equiv", "Content-Security-Policy"), h.Content(d.policy())),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.Meta(h.Name("referrer"), h.Content("no-referrer")),
			h.Link(h.Rel("icon"), h.Href("data:,")),
			h.TitleEl(g.Text("Isolation report"), g.If(d.Namespace != "", g.Text(" of namespace "+d.Namespace)), g.Text(", "+d.GeneratedAt)),
			h.StyleEl(g.Raw(styleText)),
		),
		h.Body(
			d.head(),
			h.Main(d.summary(), d.policies(), d.matrix(), d.namespaces(), d.nodes()),
			h.Footer(h.P(
				g.Text("Host < Foreign < Pod < Container. Unknown and NotApplicable are no levels: they never satisfy. Made by "),
				h.Code(g.Text("bulkhead report")), g.Text(", "+d.APIVersion+"."),
			)),
			h.Script(g.Raw(scriptText)),
		),
	))
}

func (d *document) head() g.Node {
	return h.Header(
		h.H1(g.Text("Isolation report"), g.If(d.Namespace != "", aside("namespace "+d.Namespace))),
		h.P(
			g.Textf("%d pods in %d namespaces on %d nodes, %d seen by an agent. Read at ", d.Totals.Pods, d.Totals.Namespaces, d.Totals.Nodes, d.Totals.Seen),
			h.Time(h.DateTime(d.GeneratedAt), g.Text(d.GeneratedAt)), g.Text("."),
		),
		h.Nav(h.Aria("label", "Sections"),
			h.A(h.Href("#policies"), g.Text("Policies")), g.Text(" "),
			h.A(h.Href("#pods"), g.Text("Pods by axes")), g.Text(" "),
			h.A(h.Href("#namespaces"), g.Text("Namespaces")), g.Text(" "),
			h.A(h.Href("#nodes"), g.Text("Nodes")),
		),
	)
}

func (d *document) summary() g.Node {
	var told []string
	for _, t := range d.tallies {
		told = append(told, fmt.Sprintf("%d %s", t.Pods, t.Verdict.class()))
	}
	return h.Section(h.Aria("label", "Summary"),
		h.Dl(h.Class("tallies"), listOf(d.tallies, func(t tally) g.Node {
			return h.Div(h.Class(t.Verdict.class()), h.Dt(g.Text(string(t.Verdict))), h.Dd(g.If(t.Pods == 0, h.Class("none")), number(t.Pods)))
		})),
		h.SVG(h.Class("bar"), g.Attr("viewBox", "0 0 1000 10"), g.Attr("preserveAspectRatio", "none"), h.Role("img"), h.Aria("label", strings.Join(told, ", ")),
			listOf(d.tallies, func(t tally) g.Node {
				return g.If(t.Width > 0, g.El("rect", h.Class(t.Verdict.class()),
					g.Attr("x", strconv.Itoa(t.Offset)), g.Attr("y", "0"), h.Width(strconv.Itoa(t.Width)), h.Height("10")))
			}),
		),
		g.If(len(d.Notes) > 0, h.Ul(h.Class("notes"), listOf(d.Notes, func(n string) g.Node { return h.Li(g.Text(n)) }))),
	)
}

func (d *document) policies() g.Node {
	return part("policies", "Policies", fmt.Sprintf("%d; counted by the manager, in the whole cluster", len(d.Policies)),
		table(d.Policies, "There is none.", nil,
			g.Group{
				column("Policy"), column("Action"), listOf(conditions, column),
				listOf([]string{"Matched", "Breached", "Violating", "Unverified", "Exempt", "Compliant", "Findings"}, counted),
			},
			func(p policyRow) g.Node {
				return h.Tr(
					h.Th(h.Scope("row"), g.Text(p.Name), g.If(p.Outdated, aside("status outdated"))),
					h.Td(g.Text(string(p.Action)), g.If(p.Engine != v1alpha1.EngineWebhook, aside(string(p.Engine)))),
					listOf(conditions, func(c string) g.Node { return condition(p.Status[c]) }),
					podCounts(&p),
				)
			}),
	)
}

// condition is one of a policy's, with its reason if it is not as its owner wants it.
func condition(c conditionValue) g.Node {
	s := unknown
	switch c.Status {
	case "True":
		s = met
	case "False":
		s = below
	}
	return h.Td(h.Class("condition "+string(s)), g.If(c.Message != "", h.Title(c.Message)),
		sign(s), g.Text(c.Status), g.If(s != met && c.Reason != "", aside(c.Reason)))
}

func podCounts(p *policyRow) g.Node {
	n := p.Pods
	if n == nil {
		return h.Td(h.Class("n unknown"), h.ColSpan("7"), g.Text("not counted yet"))
	}
	return g.Group{
		h.Td(h.Class("n"), number(n.Matched)),
		count(n.Breached, breached), count(n.Violating, violating), count(n.Unverified, unverified),
		count(n.Exempt, ""), count(n.Compliant, ""), count(p.Findings, ""),
	}
}

func (d *document) matrix() g.Node {
	return part("pods", "Pods by axes", fmt.Sprintf("%d, the worst first", len(d.Pods)),
		legend(),
		h.Form(h.Class("filter"), h.Hidden(""),
			h.Label(g.Text("Search "), h.Input(h.Type("search"), h.ID("search"), h.AutoComplete("off"), g.Attr("spellcheck", "false"), h.Placeholder("namespace, pod, node, policy …"))),
			h.FieldSet(h.Legend(g.Text("Verdict")), listOf(d.tallies, func(t tally) g.Node {
				return g.If(t.Pods > 0, h.Label(h.Class(t.Verdict.class()),
					h.Input(h.Type("checkbox"), h.Name("verdict"), h.Value(string(t.Verdict)), h.Checked()), g.Text(" "+string(t.Verdict))))
			})),
			g.El("output", h.ID("shown"), h.Aria("live", "polite")),
		),
		table(bounded(d.Pods, d.limit), "There is none.", g.Group{h.Class("matrix"), h.ID("matrix")},
			g.Group{column("Pod"), column("Node"), column("Verdict"), axes(), column("beside")},
			func(p podRow) g.Node {
				return h.Tr(h.Data("verdict", string(p.Verdict)),
					h.Th(h.Scope("row"), h.Small(g.Text(p.Namespace+"/")), h.Wbr(), g.Text(p.Name)),
					h.Td(h.Class("node"), orDash(p.Node)),
					h.Td(h.Class("verdict"), h.B(h.Class(p.Verdict.class()), g.Text(string(p.Verdict))), reasons(&p)),
					listOf(p.cells(), axisCell),
					besideCell(p.beside()),
				)
			}),
		left(len(d.Pods), d.limit, "pods, none worse than those above,", g.Text(", "), h.Code(g.Text("-o json")), g.Text(" has them")),
	)
}

// legend says what the cells mean, in cells.
func legend() g.Node {
	example := func(s state, level string, required, meaning string) g.Node {
		class := "cell " + string(s)
		if s == unknown {
			class += " demanded"
		}
		return h.Li(h.Span(h.Class(class), sign(s), g.Text(level), g.If(required != "", aside("≥ "+required))), g.Text(" "+meaning))
	}
	return h.Ul(h.Class("legend"), h.Aria("label", "What the cells mean"),
		example(met, "Pod", "", "seen, and as much as is required"),
		example(below, "Host", "Container", "less than is required, or found wrong"),
		example(unknown, "Unknown", "Pod", "not seen, proves nothing"),
		example(exempted, "Host", "Pod", "less, and exempt"),
		example(free, "Host", "", "nothing is required"),
		example(below, "Escape", "", "beside the axes: a portal, or a process that left its container's cgroup"),
	)
}

// reasons are what is wrong with a pod, or why nobody knows; folded.
func reasons(p *podRow) g.Node {
	if len(p.Findings) == 0 {
		why := p.Unseen + p.Doubt
		return g.If(why != "", h.Details(h.Summary(g.Text("why")), h.Ul(h.Li(g.Text(why)))))
	}
	summary := "1 finding"
	if n := len(p.Findings); n > 1 {
		summary = fmt.Sprintf("%d findings", n)
	}
	return h.Details(h.Summary(g.Text(summary)), h.Ul(listOf(p.Findings, func(f finding) g.Node {
		where := " on the node: "
		if f.Policy != "" {
			where = " under " + f.Policy + ": "
		}
		return h.Li(h.B(g.Text(f.Kind)), g.If(f.Axis != "", subject(f.Axis)), g.If(f.Portal != "", subject(f.Portal)), g.Text(where+f.Message))
	})))
}

func subject(of string) g.Node { return g.Group{g.Text(" "), h.I(g.Text(of))} }

func axisCell(c cell) g.Node {
	class := "cell " + string(c.State)
	if c.demanded() {
		class += " demanded"
	}
	return h.Td(h.Class(class), sign(c.State), g.Text(c.Observed.String()),
		g.If(c.demanded() && c.Required != c.Observed,
			g.Group{g.Text(" "), h.Small(h.Span(h.Class("spoken"), g.Text("required ")), g.Text("≥ "+c.Required.String()))}))
}

func besideCell(wrong []string) g.Node {
	s, text := free, "–"
	if len(wrong) > 0 {
		s, text = below, strings.Join(wrong, ", ")
	}
	return h.Td(h.Class("cell "+string(s)), sign(s), g.Text(text))
}

func (d *document) namespaces() g.Node {
	return part("namespaces", "Namespaces", fmt.Sprintf("%d, the worst first; with the lowest levels of their pods", len(d.Namespaces)),
		table(bounded(d.Namespaces, d.limit), "There is none with pods.", nil,
			g.Group{column("Namespace"), countColumns(), axes()},
			func(n namespaceRow) g.Node {
				return h.Tr(h.Th(h.Scope("row"), g.Text(n.Name)), rowCounts(&n.counts), lowest(n.Lowest))
			}),
		left(len(d.Namespaces), d.limit, "namespaces"),
	)
}

func (d *document) nodes() g.Node {
	var agents []string
	for _, s := range agentStates {
		if n := d.Totals.Agents[s]; n > 0 {
			agents = append(agents, fmt.Sprintf("%d %s", n, strings.ToLower(string(s))))
		}
	}
	return part("nodes", "Nodes", strings.Join(agents, ", "),
		table(bounded(d.Nodes, d.limit), "There is none.", nil,
			g.Group{column("Node"), column("Agent"), countColumns(), axes()},
			func(n nodeRow) g.Node {
				return h.Tr(
					h.Th(h.Scope("row"), g.Text(n.Name), g.If(n.Kernel != "", aside(n.Kernel))),
					h.Td(h.Class("agent "+strings.ToLower(string(n.Agent))), g.Text(string(n.Agent)),
						g.If(n.Why != "", h.Details(h.Summary(g.Text("why")), g.Text(n.Why)))),
					rowCounts(&n.counts), lowest(n.Lowest),
				)
			}),
		left(len(d.Nodes), d.limit, "nodes"),
	)
}

// part is a section with a heading that can be linked to.
func part(id, title, note string, content ...g.Node) g.Node {
	return h.Section(h.Aria("labelledby", id), h.H2(h.ID(id), g.Text(title), aside(note)), g.Group(content))
}

// table has a row for each of these, or says that there is none.
func table[T any](rows []T, none string, attributes, columns g.Node, row func(T) g.Node) g.Node {
	if len(rows) == 0 {
		return h.P(h.Class("empty"), g.Text(none))
	}
	return h.Div(h.Class("scroll"), h.Table(attributes, h.THead(h.Tr(columns)), h.TBody(listOf(rows, row))))
}

// left says how many of all a table leaves out.
func left(all, limit int, things string, more ...g.Node) g.Node {
	if limit == 0 || all <= limit {
		return nil
	}
	return h.P(h.Class("left"), g.Textf("%d more %s are left out here: ", all-limit, things), h.Code(g.Text("--limit 0")), g.Text(" shows all"), g.Group(more), g.Text("."))
}

func column(name string) g.Node  { return h.Th(h.Scope("col"), g.Text(name)) }
func counted(name string) g.Node { return h.Th(h.Scope("col"), h.Class("n"), g.Text(name)) }

func axes() g.Node {
	return listOf(isolation.Axes[:], func(a isolation.Axis) g.Node { return column(a.String()) })
}

func countColumns() g.Node {
	return listOf([]string{"Pods", "Seen", "Breached", "Violating", "Unverified"}, counted)
}

// rowCounts are the pods of a namespace or a node.
func rowCounts(c *counts) g.Node {
	seen := "n"
	if c.Seen < c.Pods {
		seen += " " + unverified.class()
	}
	return g.Group{
		h.Td(h.Class("n"), number(c.Pods)), h.Td(h.Class(seen), number(c.Seen)),
		count(c.Breached, breached), count(c.Violating, violating), count(c.Unverified, unverified),
	}
}

// count stands out if there are any, unless it is of no verdict that is bad.
func count[N int | int32](n N, bad verdict) g.Node {
	class := "n"
	switch {
	case n == 0:
		class += " none"
	case bad != "":
		class += " " + bad.class()
	}
	return h.Td(h.Class(class), number(n))
}

func number[N int | int32](n N) g.Node { return g.Text(strconv.Itoa(int(n))) }

func lowest(l levels) g.Node {
	return listOf(l[:], func(l isolation.Level) g.Node {
		return h.Td(h.Class(strings.TrimSpace("lowest "+strings.ToLower(l.String()))), orDash(l.String()))
	})
}

func orDash(text string) g.Node {
	if text == "" {
		text = "–"
	}
	return g.Text(text)
}

// aside is a remark in small letters.
func aside(text string) g.Node { return g.Group{g.Text(" "), h.Small(g.Text(text))} }

// signs tell states without colour.
var signs = map[state]string{met: "✓", below: "✕", unknown: "?", exempted: "~"}

// sign is for the eye only: what is read aloud says it in words.
func sign(s state) g.Node {
	if signs[s] == "" {
		return nil
	}
	return g.Group{h.Span(h.Aria("hidden", "true"), g.Text(signs[s])), g.Text(" ")}
}

// class is the verdict's name in the style sheet.
func (v verdict) class() string { return strings.ToLower(string(v)) }

// listOf makes the nodes one by one while they are written: a report of a large cluster has millions.
func listOf[T any](all []T, node func(T) g.Node) g.Node {
	return g.NodeFunc(func(w io.Writer) error {
		for i := range all {
			if n := node(all[i]); n != nil {
				if err := n.Render(w); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
