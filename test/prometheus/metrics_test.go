// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bulkhead-dev/bulkhead/controllers"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
)

var description = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// exported are the labels of every metric that manager and agent export.
func exported(g *WithT) map[string][]string {
	out := map[string][]string{"up": nil}
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		controllers.Describe(ch)
		admission.Describe(ch)
		agent.Describe(ch)
	}()
	for d := range ch {
		parts := description.FindStringSubmatch(d.String())
		g.Expect(parts).To(HaveLen(3), d.String())
		out[parts[1]] = strings.Split(parts[2], ",")
	}
	return out
}

// known expects every metric and every label of an expression to exist.
func known(g *WithT, metrics map[string][]string, query string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	g.Expect(err).NotTo(HaveOccurred(), query)
	allowed, selectors := []string{"job", "instance", "le"}, 0
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			selectors++
			name := strings.TrimSuffix(s.Name, "_bucket")
			own, ok := metrics[name]
			g.Expect(ok).To(BeTrue(), "%s: nobody exports %s", query, name)
			allowed = append(allowed, own...)
			for _, m := range s.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					g.Expect(append([]string{"job", "instance"}, own...)).To(ContainElement(m.Name), query)
				}
			}
		}
		return nil
	})
	g.Expect(selectors).NotTo(BeZero(), query)
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, by := range a.Grouping {
				g.Expect(allowed).To(ContainElement(by), query)
			}
		}
		return nil
	})
}

func TestRulesAskForMetricsThatExist(t *testing.T) {
	g := NewWithT(t)
	metrics := exported(g)
	for _, r := range alerts(g) {
		known(g, metrics, r.Expr)
	}
}

func TestTheDashboardAsksForMetricsThatExist(t *testing.T) {
	g := NewWithT(t)
	raw, err := os.ReadFile("../../config/prometheus/dashboard.json")
	g.Expect(err).NotTo(HaveOccurred())
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Type, Query string }
		}
	}
	g.Expect(json.Unmarshal(raw, &board)).To(Succeed())
	metrics := exported(g)
	g.Expect(board.Panels).NotTo(BeEmpty())
	for _, p := range board.Panels {
		g.Expect(p.Targets).NotTo(BeEmpty(), p.Title)
		for _, target := range p.Targets {
			known(g, metrics, strings.NewReplacer("$__rate_interval", "5m", "$policy", ".*").Replace(target.Expr))
		}
	}
	at := slices.IndexFunc(board.Templating.List, func(v struct{ Type, Query string }) bool { return v.Type == "query" })
	g.Expect(at).NotTo(Equal(-1))
	asked := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(board.Templating.List[at].Query)
	g.Expect(asked).To(HaveLen(3))
	g.Expect(metrics[asked[1]]).To(ContainElement(asked[2]))
}

func TestNoMetricNamesAPodOrANode(t *testing.T) {
	g := NewWithT(t)
	// A scraper calls the namespace of what it scrapes by the plain word.
	named := []string{}
	for name, own := range exported(g) {
		for _, l := range own {
			g.Expect([]string{"pod", "namespace", "node", "uid"}).NotTo(ContainElement(l), name)
			if l == "pod_namespace" {
				named = append(named, name)
			}
		}
	}
	g.Expect(named).To(ConsistOf("bulkhead_userns_pods", "bulkhead_userns_pods_seen_at_host"), "namespaces are many, too")
}
