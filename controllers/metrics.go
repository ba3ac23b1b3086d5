// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// What is told of the cluster. No label names a pod or a node: there are too many. Namespaces are named for one thing
// only, and by a label that is not the namespace of what is scraped.
var (
	podsDesc       = describe("bulkhead_pods", "Pods that a policy matches, each in one state, the first that applies.", "policy", "state")
	hiddenDesc     = describe("bulkhead_pods_not_applicable", "Those of a policy's unverified pods that no agent can see: on Windows, or in a sandbox with a kernel of its own.", "policy")
	findingsDesc   = describe("bulkhead_findings", "Findings of a policy, by kind and by the axis or the portal that is concerned.", "policy", "kind", "axis", "portal")
	conditionsDesc = describe("bulkhead_policy_condition", "1 for the status that a condition of a policy has, 0 for those that it has not.", "policy", "type", "status")
	nodesDesc      = describe("bulkhead_nodes", "Nodes that have a pod, a report or an agent, or run Windows, by how their agents are.", "agent")
	truncatedDesc  = describe("bulkhead_reports_truncated", "Reports of nodes that could not name everything.")
	renewalDesc    = describe("bulkhead_agent_oldest_renewal_age_seconds", "When judged last, how long ago the agent that has been silent for longest said that it is alive.")
	usernsDesc     = describe("bulkhead_userns_pods", "Pods that have not ended, by whether they could have a user namespace of their own; states and namespaces without pods are left out.", "pod_namespace", "state")
	atHostDesc     = describe("bulkhead_userns_pods_seen_at_host", "Pods whose agent saw that their root is root on the node; namespaces without such pods are left out.", "pod_namespace")
	obstaclesDesc  = describe("bulkhead_userns_obstacles", "Pods in whose way to a user namespace of their own something stands, by what it is and by what happens if they set hostUsers: false all the same.", "reason", "kind")
	keptDesc       = describe("bulkhead_pods_kept", "Pods in the books that have not ended, each once.")
	policiesDesc   = describe("bulkhead_policies_kept", "Policies in the books.")
	newsDesc       = describe("bulkhead_news_waiting", "Changed objects of which the books have not been told.")
	judgedDesc     = describe("bulkhead_last_judgement_timestamp_seconds", "When was judged last, in seconds since 1970.")
)

// knowledge is what one leader knows, as it was judged last. Before the first judgement it is nothing.
type knowledge struct {
	news     func() int
	duration prometheus.Histogram
	last     atomic.Pointer[snapshot]
}

// snapshot is what was known at one moment. Nobody writes to it.
type snapshot struct {
	at       time.Time
	policies []known
	agents   ledger.AgentCounts
	userns   ledger.Readiness
	pods     int
}

// known is what was known of one policy.
type known struct {
	name       string
	invalid    bool
	pods       v1alpha1.PodCounts
	matters    map[ledger.Matter]int32
	conditions []metav1.Condition
}

func newKnowledge(news func() int) *knowledge {
	return &knowledge{news: news, duration: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "bulkhead_judgement_duration_seconds",
		Help:    "How long it took to enter what changed in the books and to judge every policy, without the writes.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	})}
}

// judged takes over what was judged. A nil knowledge takes nothing.
func (k *knowledge) judged(j *judgement, books *ledger.Ledger, at time.Time, took time.Duration) {
	if k == nil {
		return
	}
	s := &snapshot{at: at, agents: books.Agents(), userns: books.Readiness(), pods: books.Len()}
	for i := range j.verdicts {
		v := &j.verdicts[i]
		one := known{name: v.policy.Name, invalid: v.invalid, pods: v.status.Pods, conditions: v.status.Conditions}
		if stands := books.Standing(v.policy.UID); stands != nil {
			one.matters = stands.Matters
		}
		s.policies = append(s.policies, one)
	}
	k.last.Store(s)
	k.duration.Observe(took.Seconds())
}

func (k *knowledge) collect(ch chan<- prometheus.Metric) {
	s := k.last.Load()
	if s == nil {
		return
	}
	k.duration.Collect(ch)
	gauge := gauge(func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	})
	for i := range s.policies {
		s.policies[i].collect(gauge)
	}
	gauge(nodesDesc, float64(s.agents.Reporting), "reporting")
	gauge(nodesDesc, float64(s.agents.Degraded), "degraded")
	gauge(nodesDesc, float64(s.agents.Silent), "silent")
	gauge(nodesDesc, float64(s.agents.Absent), "absent")
	gauge(nodesDesc, float64(s.agents.NotApplicable), "not_applicable")
	gauge(truncatedDesc, float64(s.agents.Truncated))
	if !s.agents.Oldest.IsZero() {
		gauge(renewalDesc, s.at.Sub(s.agents.Oldest).Seconds())
	}
	collectReadiness(&s.userns, gauge)
	gauge(keptDesc, float64(s.pods))
	gauge(policiesDesc, float64(len(s.policies)))
	gauge(newsDesc, float64(k.news()))
	gauge(judgedDesc, float64(s.at.UnixMilli())/1000)
}

// gauge tells a value.
type gauge func(d *prometheus.Desc, value float64, labels ...string)

// unlessZero tells it if there is anything to tell.
func (g gauge) unlessZero(d *prometheus.Desc, count int, labels ...string) {
	if count != 0 {
		g(d, float64(count), labels...)
	}
}

// collectReadiness tells how ready pods are for user namespaces of their own. Of thousands of namespaces most have
// pods of few states.
func collectReadiness(r *ledger.Readiness, gauge gauge) {
	for namespace, n := range r.Namespaces {
		gauge.unlessZero(usernsDesc, n.Own, namespace, "own")
		gauge.unlessZero(usernsDesc, n.Ready, namespace, "ready")
		gauge.unlessZero(usernsDesc, n.Unclear, namespace, "unclear")
		gauge.unlessZero(usernsDesc, n.Blocked, namespace, "blocked")
		gauge.unlessZero(atHostDesc, n.SeenAtHost, namespace)
	}
	for sort, n := range r.Obstacles {
		gauge(obstaclesDesc, float64(n), sort.Reason, string(sort.Kind))
	}
}

func (p *known) collect(gauge gauge) {
	for i := range p.conditions {
		for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			value := 0.
			if p.conditions[i].Status == status {
				value = 1
			}
			gauge(conditionsDesc, value, p.name, p.conditions[i].Type, strings.ToLower(string(status)))
		}
	}
	if p.invalid {
		return // whom it matches is not known
	}
	gauge(podsDesc, float64(p.pods.Exempt), p.name, "exempt")
	gauge(podsDesc, float64(p.pods.Breached), p.name, "breached")
	gauge(podsDesc, float64(p.pods.Violating), p.name, "violating")
	gauge(podsDesc, float64(p.pods.Unverified), p.name, "unverified")
	gauge(podsDesc, float64(p.pods.Compliant), p.name, "compliant")
	gauge(hiddenDesc, float64(p.pods.NotApplicable), p.name)
	for m, n := range p.matters {
		gauge(findingsDesc, float64(n), p.name, string(m.Kind), string(m.Axis), m.Portal)
	}
}

// exporter tells what the leader knows, if the leader is this process. Otherwise it tells nothing: what
// another replica last knew, or never knew, would be a lie.
type exporter struct{ leader atomic.Pointer[knowledge] }

// exported is the exporter of this process, on the manager's /metrics.
var exported = sync.OnceValue(func() *exporter {
	e := &exporter{}
	metrics.Registry.MustRegister(e)
	return e
})

// whileLeading exports the knowledge from when the manager leads until it ends: a manager runs what does
// not say otherwise only while it leads.
func (e *exporter) whileLeading(k *knowledge) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		e.leader.Store(k)
		<-ctx.Done()
		e.leader.CompareAndSwap(k, nil)
		return nil
	})
}

// Describe tells of every metric of the controllers: rules and dashboards are checked against them.
func Describe(ch chan<- *prometheus.Desc) {
	(&exporter{}).Describe(ch)
	evictionMetrics().tries.Describe(ch)
	evictionMetrics().candidates.Describe(ch)
}

// Describe implements [prometheus.Collector].
func (e *exporter) Describe(ch chan<- *prometheus.Desc) {
	newKnowledge(nil).duration.Describe(ch)
	for _, d := range []*prometheus.Desc{
		podsDesc, hiddenDesc, findingsDesc, conditionsDesc, nodesDesc, truncatedDesc, renewalDesc,
		usernsDesc, atHostDesc, obstaclesDesc, keptDesc, policiesDesc, newsDesc, judgedDesc,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (e *exporter) Collect(ch chan<- prometheus.Metric) {
	if k := e.leader.Load(); k != nil {
		k.collect(ch)
	}
}
