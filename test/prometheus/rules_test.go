// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"sigs.k8s.io/yaml"
)

// alerts are the rules, read as Prometheus reads them.
func alerts(g *WithT) []rulefmt.Rule {
	raw, err := os.ReadFile("../../config/prometheus/rules.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	var resource struct {
		Kind string
		Spec map[string]any
	}
	g.Expect(yaml.Unmarshal(raw, &resource)).To(Succeed())
	g.Expect(resource.Kind).To(Equal("PrometheusRule"))
	spec, err := yaml.Marshal(resource.Spec)
	g.Expect(err).NotTo(HaveOccurred())
	groups, errs := rulefmt.Parse(spec, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	g.Expect(errs).To(BeEmpty())
	g.Expect(groups.Groups).To(HaveLen(1))
	return groups.Groups[0].Rules
}

func TestEachAlertHasASectionInTheRunbooks(t *testing.T) {
	g := NewWithT(t)
	runbooks, err := os.ReadFile("../../docs/runbooks.md")
	g.Expect(err).NotTo(HaveOccurred())
	all := alerts(g)
	g.Expect(strings.Count(string(runbooks), "\n## ")).To(Equal(len(all)), "a section for each alert, and no other")
	for _, r := range all {
		g.Expect(r.Labels["severity"]).To(BeElementOf("critical", "warning"), r.Alert)
		g.Expect(r.Annotations["summary"]).NotTo(BeEmpty(), r.Alert)
		g.Expect(r.Annotations["description"]).NotTo(BeEmpty(), r.Alert)
		g.Expect(r.Annotations["runbook_url"]).To(HaveSuffix("/docs/runbooks.md#" + strings.ToLower(r.Alert)))
		g.Expect(string(runbooks)).To(ContainSubstring("\n## " + r.Alert + "\n"))
	}
}

// healthy is what a cluster exports in which all is well, by series, each minute for an hour.
var healthy = map[string]string{
	`bulkhead_policy_condition{policy="p",type="Accepted",status="true"}`:       "1x60",
	`bulkhead_policy_condition{policy="p",type="Enforced",status="true"}`:       "1x60",
	`bulkhead_policy_condition{policy="p",type="Enforced",status="false"}`:      "0x60",
	`bulkhead_policy_condition{policy="p",type="Verified",status="true"}`:       "1x60",
	`bulkhead_policy_condition{policy="p",type="EvictionReady",status="true"}`:  "1x60",
	`bulkhead_eviction_candidates{policy="p",outcome="Unconfirmed"}`:            "1x60",
	`bulkhead_pods{policy="p",state="breached"}`:                                "0x60",
	`bulkhead_pods{policy="p",state="violating"}`:                               "3x60",
	`bulkhead_findings{policy="p",kind="Violation",axis="pid",portal=""}`:       "3x60",
	`bulkhead_nodes{agent="reporting"}`:                                         "3x60",
	`bulkhead_nodes{agent="degraded"}`:                                          "0x60",
	`bulkhead_nodes{agent="silent"}`:                                            "0x60",
	`bulkhead_nodes{agent="absent"}`:                                            "0x60",
	`bulkhead_reports_truncated`:                                                "0x60",
	`bulkhead_last_judgement_timestamp_seconds`:                                 "1x60",
	`bulkhead_admission_reviews_total{resource="pods",verdict="denied"}`:        "0+9x60",
	`bulkhead_admission_reviews_total{resource="pods",verdict="error"}`:         "0x60",
	`bulkhead_admission_certificate_expiration_timestamp_seconds{instance="m"}`: "9000000x60",
	`bulkhead_agent_look_duration_seconds_bucket{instance="a",le="1.024"}`:      "0+6x60",
	`bulkhead_agent_look_duration_seconds_bucket{instance="a",le="4.096"}`:      "0+6x60",
	`bulkhead_agent_look_duration_seconds_bucket{instance="a",le="+Inf"}`:       "0+6x60",
	`up{job="bulkhead-manager-metrics",instance="m"}`:                           "1x60",
	`up{job="bulkhead-manager-metrics",instance="n"}`:                           "0x60",
}

// fires is, for each alert, what is different when it is to fire; "" means that there is no such series.
var fires = map[string]map[string]string{
	"BulkheadPolicyNotEnforced": {`bulkhead_policy_condition{policy="p",type="Enforced",status="true"}`: "0x60"},
	"BulkheadPolicyNotVerified": {`bulkhead_policy_condition{policy="p",type="Verified",status="true"}`: "0x60"},
	"BulkheadPodsBreached":      {`bulkhead_pods{policy="p",state="breached"}`: "2x60"},
	"BulkheadEscapeFound":       {`bulkhead_findings{policy="p",kind="Escape",axis="pid",portal=""}`: "1x60"},
	"BulkheadAgentsDegraded":    {`bulkhead_nodes{agent="degraded"}`: "1x60"},
	"BulkheadAgentsSilent":      {`bulkhead_nodes{agent="silent"}`: "1x60"},
	"BulkheadAgentsAbsent":      {`bulkhead_nodes{agent="absent"}`: "1x60"},
	"BulkheadReportsTruncated":  {`bulkhead_reports_truncated`: "1x60"},
	"BulkheadManagerAbsent":     {`up{job="bulkhead-manager-metrics",instance="m"}`: "0x60"},
	"BulkheadNoLeader":          {`bulkhead_last_judgement_timestamp_seconds`: ""},
	"BulkheadAdmissionErrors":   {`bulkhead_admission_reviews_total{resource="pods",verdict="error"}`: "0+2x60"},
	"BulkheadCertificateEnds":   {`bulkhead_admission_certificate_expiration_timestamp_seconds{instance="m"}`: "80000x60"},
	"BulkheadEvictionStopped":   {`bulkhead_policy_condition{policy="p",type="EvictionReady",status="true"}`: "0x60"},
	"BulkheadEvictionGivenUp":   {`bulkhead_eviction_candidates{policy="p",outcome="GivenUp"}`: "1x60"},
	"BulkheadAgentLooksSlow":    {`bulkhead_agent_look_duration_seconds_bucket{instance="a",le="1.024"}`: "0+1x60"},
}

func TestEachAlertFiresWhenItShouldAndNoOtherDoes(t *testing.T) {
	g := NewWithT(t)
	all := alerts(g)
	g.Expect(fires).To(HaveLen(len(all)), "a case for each alert")
	g.Expect(firing(t, all, nil)).To(BeEmpty(), "where all is well")
	for _, r := range all {
		t.Run(r.Alert, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(fires).To(HaveKey(r.Alert))
			g.Expect(firing(t, all, fires[r.Alert])).To(ConsistOf(r.Alert))
		})
	}
}

// firing are the alerts that fire after an hour. Their annotations must have come out whole.
func firing(t *testing.T, all []rulefmt.Rule, different map[string]string) []string {
	g := NewWithT(t)
	load := "load 1m\n"
	for _, series := range []map[string]string{healthy, different} {
		for name, values := range series {
			if other, ok := different[name]; ok {
				values = other
			}
			if values != "" && !strings.Contains(load, "  "+name+" ") {
				load += fmt.Sprintf("  %s %s\n", name, values)
			}
		}
	}
	storage := promqltest.LoadedStorage(t, load)
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	query := rules.EngineQueryFunc(engine, storage)
	var out []string
	for _, r := range all {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		g.Expect(err).NotTo(HaveOccurred())
		rule := rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), 0, labels.FromMap(r.Labels), labels.FromMap(r.Annotations),
			labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
		for minute := range 61 {
			_, err := rule.Eval(t.Context(), 0, time.Unix(int64(minute)*60, 0), query, nil, 0)
			g.Expect(err).NotTo(HaveOccurred(), r.Alert)
		}
		for _, a := range rule.ActiveAlerts() {
			if a.State != rules.StateFiring {
				continue
			}
			out = append(out, r.Alert)
			a.Annotations.Range(func(l labels.Label) {
				g.Expect(l.Value).NotTo(ContainSubstring("error expanding"), l.Name)
				g.Expect(l.Value).NotTo(ContainSubstring("<no value>"), l.Name)
			})
		}
	}
	return out
}
