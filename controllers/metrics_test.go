// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// judged is what is known of a cluster with a breach and with nodes in every state.
func judged(policies ...string) *knowledge {
	in := world()
	in.Pods = []corev1.Pod{running("a", time.Hour), running("b", time.Hour), running("w", time.Hour)}
	in.Pods[2].Spec.NodeName = "four"
	in.Reports["one"] = report("one", group(onHostPID(), "a"), group(isolated, "b"))
	in.Reports["two"], in.Agents["two"] = report("two"), now.Add(-time.Hour)
	in.Reports["two"].Status.Truncated = true
	in.Agents["three"] = now
	in.Nodes = map[string]*corev1.Node{"four": ledgertest.WindowsNode("four")}
	for _, name := range policies {
		in.Policies = append(in.Policies, demanding(name))
	}
	books := in.Ledger(in.Now, in.Policies...)
	j := judge(&in.input, books, options)
	k := newKnowledge(func() int { return 7 })
	k.judged(&j, books, in.Now, time.Second)
	return k
}

func TestTheLeaderTellsWhatItKnows(t *testing.T) {
	e := &exporter{}
	e.leader.Store(judged("all"))
	NewWithT(t).Expect(testutil.CollectAndCompare(e, strings.NewReader(`
# HELP bulkhead_findings Findings of a policy, by kind and by the axis or the portal that is concerned.
# TYPE bulkhead_findings gauge
bulkhead_findings{axis="",kind="Unverified",policy="all",portal=""} 1
bulkhead_findings{axis="pid",kind="Breach",policy="all",portal=""} 1
# HELP bulkhead_news_waiting Changed objects of which the books have not been told.
# TYPE bulkhead_news_waiting gauge
bulkhead_news_waiting 7
# HELP bulkhead_nodes Nodes that have a pod, a report or an agent, or run Windows, by how their agents are.
# TYPE bulkhead_nodes gauge
bulkhead_nodes{agent="absent"} 1
bulkhead_nodes{agent="degraded"} 0
bulkhead_nodes{agent="not_applicable"} 1
bulkhead_nodes{agent="reporting"} 1
bulkhead_nodes{agent="silent"} 1
# HELP bulkhead_agent_oldest_renewal_age_seconds When judged last, how long ago the agent that has been silent for longest said that it is alive.
# TYPE bulkhead_agent_oldest_renewal_age_seconds gauge
bulkhead_agent_oldest_renewal_age_seconds 3600
# HELP bulkhead_pods Pods that a policy matches, each in one state, the first that applies.
# TYPE bulkhead_pods gauge
bulkhead_pods{policy="all",state="breached"} 1
bulkhead_pods{policy="all",state="compliant"} 1
bulkhead_pods{policy="all",state="exempt"} 0
bulkhead_pods{policy="all",state="unverified"} 1
bulkhead_pods{policy="all",state="violating"} 0
# HELP bulkhead_pods_not_applicable Those of a policy's unverified pods that no agent can see: on Windows, or in a sandbox with a kernel of its own.
# TYPE bulkhead_pods_not_applicable gauge
bulkhead_pods_not_applicable{policy="all"} 1
# HELP bulkhead_pods_kept Pods in the books that have not ended, each once.
# TYPE bulkhead_pods_kept gauge
bulkhead_pods_kept 3
# HELP bulkhead_reports_truncated Reports of nodes that could not name everything.
# TYPE bulkhead_reports_truncated gauge
bulkhead_reports_truncated 1
`), "bulkhead_pods", "bulkhead_pods_not_applicable", "bulkhead_findings", "bulkhead_nodes", "bulkhead_reports_truncated", "bulkhead_pods_kept",
		"bulkhead_news_waiting", "bulkhead_agent_oldest_renewal_age_seconds")).To(Succeed())
}

func TestReadinessForUserNamespacesIsToldWithoutAPolicy(t *testing.T) {
	g := NewWithT(t)
	in := world()
	in.Nodes = map[string]*corev1.Node{"one": ledgertest.Node("one")}
	own, ready, claims, blocked, elsewhere := running("own", time.Hour), running("ready", time.Hour), running("claims", time.Hour), running("blocked", time.Hour), running("elsewhere", time.Hour)
	own.Spec.HostUsers = ptr.To(false)
	ledgertest.Claiming(&claims, "data")
	blocked.Spec.HostPID, blocked.Spec.HostIPC = true, true
	elsewhere.Namespace, elsewhere.Spec.HostPID = "lab", true
	in.Pods = []corev1.Pod{own, ready, claims, blocked, elsewhere}
	onHost := isolated
	onHost.User = v1alpha1.LevelHost
	in.Reports["one"] = report("one", group(isolated, "own", "elsewhere"), group(onHost, "ready", "blocked"))
	books := in.Ledger(in.Now)
	j := judge(&in.input, books, options)
	k := newKnowledge(func() int { return 0 })
	k.judged(&j, books, in.Now, time.Second)
	e := &exporter{}
	e.leader.Store(k)
	g.Expect(testutil.CollectAndCompare(e, strings.NewReader(`
# HELP bulkhead_userns_obstacles Pods in whose way to a user namespace of their own something stands, by what it is and by what happens if they set hostUsers: false all the same.
# TYPE bulkhead_userns_obstacles gauge
bulkhead_userns_obstacles{kind="Refused",reason="HostIPC"} 1
bulkhead_userns_obstacles{kind="Refused",reason="HostPID"} 2
bulkhead_userns_obstacles{kind="Unclear",reason="Volume"} 1
# HELP bulkhead_userns_pods Pods that have not ended, by whether they could have a user namespace of their own; states and namespaces without pods are left out.
# TYPE bulkhead_userns_pods gauge
bulkhead_userns_pods{pod_namespace="lab",state="blocked"} 1
bulkhead_userns_pods{pod_namespace="shop",state="blocked"} 1
bulkhead_userns_pods{pod_namespace="shop",state="own"} 1
bulkhead_userns_pods{pod_namespace="shop",state="ready"} 1
bulkhead_userns_pods{pod_namespace="shop",state="unclear"} 1
# HELP bulkhead_userns_pods_seen_at_host Pods whose agent saw that their root is root on the node; namespaces without such pods are left out.
# TYPE bulkhead_userns_pods_seen_at_host gauge
bulkhead_userns_pods_seen_at_host{pod_namespace="shop"} 2
`), "bulkhead_userns_pods", "bulkhead_userns_pods_seen_at_host", "bulkhead_userns_obstacles")).To(Succeed())
	g.Expect(j.next).NotTo(BeZero(), "that the agent falls silent is waited for")
}

func TestAConditionHasOneStatus(t *testing.T) {
	g := NewWithT(t)
	sum := map[string]float64{}
	for name, value := range series(g, judged("all"), "bulkhead_policy_condition") {
		kind, _, _ := strings.Cut(name, " ")
		sum[kind] += value
	}
	g.Expect(sum).To(Equal(map[string]float64{"Accepted": 1, "Enforced": 1, "Verified": 1}))
	g.Expect(series(g, judged("all"), "bulkhead_policy_condition")).To(HaveKeyWithValue("Verified false all", 1.))
}

func TestAPolicyThatIsGoneHasNoSeries(t *testing.T) {
	g := NewWithT(t)
	e := &exporter{}
	e.leader.Store(judged("all", "other"))
	g.Expect(testutil.CollectAndCount(e, "bulkhead_pods")).To(Equal(10))
	e.leader.Store(judged("all"))
	g.Expect(testutil.CollectAndCount(e, "bulkhead_pods")).To(Equal(5))
	e.leader.Store(judged())
	g.Expect(testutil.CollectAndCount(e, "bulkhead_pods", "bulkhead_findings", "bulkhead_policy_condition")).To(BeZero())
	g.Expect(testutil.CollectAndCount(e, "bulkhead_nodes")).To(Equal(5), "the nodes are there all the same")
}

func TestWhoDoesNotLeadTellsNothing(t *testing.T) {
	g := NewWithT(t)
	e := &exporter{}
	g.Expect(testutil.CollectAndCount(e)).To(BeZero(), "before it leads")
	e.leader.Store(newKnowledge(func() int { return 1 }))
	g.Expect(testutil.CollectAndCount(e)).To(BeZero(), "before it has judged")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.whileLeading(judged("all")).Start(ctx) }()
	g.Eventually(func() int { return testutil.CollectAndCount(e) }).ShouldNot(BeZero())
	stop()
	g.Expect(<-ended).To(Succeed())
	g.Expect(testutil.CollectAndCount(e)).To(BeZero(), "after it led")
}

func TestTheEndOfOneLeaderDoesNotSilenceTheNext(t *testing.T) {
	g := NewWithT(t)
	e := &exporter{}
	next := judged("all")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.whileLeading(judged("all")).Start(ctx) }()
	g.Eventually(e.leader.Load).ShouldNot(BeNil())
	e.leader.Store(next)
	stop()
	g.Expect(<-ended).To(Succeed())
	g.Expect(e.leader.Load()).To(BeIdenticalTo(next))
}

func TestOfAPolicyThatIsNotValidNoPodIsCounted(t *testing.T) {
	g := NewWithT(t)
	in := world()
	p := demanding("all")
	p.Spec.Isolation = &v1alpha1.Isolation{PID: "Never"}
	in.Policies = []v1alpha1.IsolationPolicy{p}
	books := in.Ledger(in.Now, in.Policies...)
	j := judge(&in.input, books, options)
	k := newKnowledge(func() int { return 0 })
	k.judged(&j, books, in.Now, time.Second)
	g.Expect(series(g, k, "bulkhead_pods")).To(BeEmpty())
	g.Expect(series(g, k, "bulkhead_policy_condition")).To(HaveKeyWithValue("Accepted false all", 1.))
}

// series are those of a metric, by the values of type, status and policy.
func series(g *WithT, k *knowledge, name string) map[string]float64 {
	e := &exporter{}
	e.leader.Store(k)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(e)
	families, err := registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := map[string]string{}
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			out[label["type"]+" "+label["status"]+" "+label["policy"]] = m.GetGauge().GetValue()
		}
	}
	return out
}
