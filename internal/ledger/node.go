// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// AgentLease is how long an agent is believed to be alive after it last said so.
const AgentLease = v1alpha1.AgentLeaseSeconds * time.Second

// node is one of which a pod, a report, an agent or the API server spoke.
type node struct {
	name   string
	report *v1alpha1.NodeIsolationReport
	// renewed is when the node's agent last said that it is alive; zero if never.
	renewed time.Time
	pods    map[*pod]struct{}
	// windows is set if the node runs Windows.
	windows bool
	// facts as the API server has them; nil if it knows no such node.
	facts *isolation.NodeFacts
	// alarm is the moment for which one is set; zero if none is.
	alarm time.Time
	state
	seen     map[types.UID]seen
	findings map[types.UID][]v1alpha1.NodeFinding
}

// seen is how a report saw a pod: its lowest levels, and whether it was looked at closely.
type seen struct {
	levels    isolation.Vector
	inspected bool
}

// state is whether a node's report counts.
type state struct {
	agent AgentState
	// unseen is the reason why the report counts for no pod; empty if it counts.
	unseen string
	// doubt is the reason why the report counts only for what is wrong: the node cannot see
	// everything. Empty if it counts for all.
	doubt string
}

func (l *Ledger) node(name string) *node {
	n := l.nodes[name]
	if n == nil {
		n = &node{name: name, pods: make(map[*pod]struct{})}
		n.state = n.stateAt(l.now)
		l.nodes[name] = n
	}
	return n
}

// prune forgets a node of which nobody speaks any more.
func (l *Ledger) prune(n *node) {
	if !n.counts() && n.facts == nil {
		delete(l.nodes, n.name)
	}
}

// counts tells whether the node is one by whose agent anything is judged.
func (n *node) counts() bool {
	return len(n.pods) > 0 || n.report != nil || !n.renewed.IsZero() || n.windows
}

// SetReport tells what a node reports now; nil if it has no report.
func (l *Ledger) SetReport(name string, report *v1alpha1.NodeIsolationReport) {
	n := l.node(name)
	n.report = report
	n.state = n.stateAt(l.now)
	n.read()
	l.judgeOn(n)
	n.waitForSilence(l)
	l.prune(n)
}

// SetAgent tells when a node's agent last said that it is alive; zero if it never did.
func (l *Ledger) SetAgent(name string, renewed time.Time) {
	n := l.node(name)
	n.renewed = renewed
	l.look(n)
	n.waitForSilence(l)
	l.prune(n)
}

// SetNode tells of a node as the API server has it; nil if it has none of that name.
func (l *Ledger) SetNode(name string, of *Node) {
	if of == nil {
		of = &Node{}
	}
	n := l.node(name)
	if !n.facts.Same(of.Facts) {
		n.facts = of.Facts
		for p := range n.pods {
			l.ready(p)
		}
	}
	n.windows = of.Windows
	l.look(n)
	l.prune(n)
}

// OnWindows tells whether a node of these labels runs Windows: the kubelet sets them.
func OnWindows(labels map[string]string) bool {
	return labels[corev1.LabelOSStable] == string(corev1.Windows)
}

// look sees whether a node's report still counts as before.
func (l *Ledger) look(n *node) {
	if now := n.stateAt(l.now); now != n.state {
		n.state = now
		n.read()
		l.judgeOn(n)
	}
}

// judgeOn judges the pods of a node again, and has the nodes counted again.
func (l *Ledger) judgeOn(n *node) {
	l.judgeAll(n.pods)
	for _, p := range l.policies {
		if p.nodes[n] > 0 {
			p.standing = nil
		}
	}
}

// turns is when the agent falls silent if it says nothing more, or its clock is right again; zero if
// neither comes by itself.
func (n *node) turns(now time.Time) time.Time {
	switch {
	case n.renewed.After(now.Add(AgentLease)):
		// Whoever writes moments of centuries to come, one before the other, has no alarm kept for each.
		return earlier(n.renewed.Add(-AgentLease), now.Add(AgentLease))
	case Fresh(n.renewed, now, AgentLease):
		return n.renewed.Add(AgentLease).Add(time.Millisecond)
	}
	return time.Time{}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// waitForSilence sets an alarm for when the node's state turns, if that makes a difference and none is set that
// rings before. Without a pod on it the node is counted all the same. Most often it finds that the agent has said something meanwhile.
func (n *node) waitForSilence(l *Ledger) {
	at := n.turns(l.now)
	if n.report == nil || at.IsZero() || !n.alarm.IsZero() && !at.Before(n.alarm) {
		return
	}
	n.alarm = at
	l.alarms.at(at, func() {
		if l.nodes[n.name] == n && n.alarm.Equal(at) {
			n.alarm = time.Time{}
			l.look(n)
			n.waitForSilence(l)
		}
	})
}

// stateAt is whether the report counts at a moment.
func (n *node) stateAt(now time.Time) state {
	switch {
	case n.report == nil && n.windows:
		return state{agent: AgentNotApplicable, unseen: "node " + n.name + " runs Windows, where no agent can look"}
	case n.report == nil || n.renewed.IsZero():
		return state{agent: AgentAbsent, unseen: "node " + n.name + ": no agent has reported"}
	case n.renewed.After(now) && !Fresh(n.renewed, now, AgentLease):
		return state{agent: AgentSilent, unseen: "node " + n.name + ": its agent's clock is wrong, it says " + n.renewed.UTC().Format(time.RFC3339)}
	case !Fresh(n.renewed, now, AgentLease):
		return state{agent: AgentSilent, unseen: "node " + n.name + ": its agent has been silent since " + n.renewed.UTC().Format(time.RFC3339)}
	}
	return unfit(n.name, &n.report.Status)
}

// Fresh tells whether something that was renewed then is believed now. A time in the future is
// believed no longer than one in the past: nobody stays alive by a wrong clock.
func Fresh(renewed, now time.Time, lease time.Duration) bool {
	return !renewed.IsZero() && now.Sub(renewed).Abs() <= lease
}

// unfit is the reason why what a report says does not count (unseen), or counts only for what is
// wrong (doubt); empty if it counts. Conditions that are not there, or not known, are no better than
// bad ones.
func unfit(node string, s *v1alpha1.NodeIsolationReportStatus) state {
	why := func(c *metav1.Condition) string {
		if c == nil {
			return "its report does not say how it is"
		}
		return isolation.Sanitize(cmp.Or(c.Reason, string(c.Status))+": "+c.Message, 512)
	}
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionTrue {
		return state{agent: AgentNotReady, unseen: "the agent of node " + node + " is not ready: " + why(ready)}
	}
	degraded := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionDegraded)
	if degraded == nil || degraded.Status != metav1.ConditionFalse {
		return state{agent: AgentDegraded, doubt: "node " + node + " is degraded: " + why(degraded)}
	}
	return state{agent: AgentReporting}
}

// read takes what the report says, if it counts for anything. Of a pod that is named twice the lowest
// levels count, and it was looked at closely if both say so.
func (n *node) read() {
	n.seen, n.findings = nil, nil
	if n.unseen != "" {
		return
	}
	s := &n.report.Status
	n.seen = make(map[types.UID]seen)
	for i := range s.Groups {
		group := seen{isolation.VectorOf(s.Groups[i].Levels), s.Groups[i].Inspected}
		for _, p := range s.Groups[i].Pods {
			now := group
			if before, twice := n.seen[p.UID]; twice {
				now.levels.Lower(&before.levels)
				now.inspected = now.inspected && before.inspected
			}
			n.seen[p.UID] = now
		}
	}
	if len(s.Findings) > 0 {
		n.findings = make(map[types.UID][]v1alpha1.NodeFinding)
	}
	for i := range s.Findings {
		uid := s.Findings[i].Pod.UID
		n.findings[uid] = append(n.findings[uid], s.Findings[i])
	}
}

// of is what the node's report says of a pod that the API places on this node.
func (n *node) of(uid types.UID) isolation.Sight {
	if n.unseen != "" {
		return isolation.Sight{Unseen: n.unseen, Unseeable: n.agent == AgentNotApplicable}
	}
	pod, seen := n.seen[uid]
	switch {
	case !seen && n.report.Status.Truncated:
		return isolation.Sight{Unseen: "the agent of node " + n.name + " has more pods than its report can name, and does not name this one"}
	case !seen:
		return isolation.Sight{Unseen: cmp.Or(n.doubt, "the agent of node "+n.name+" has not seen it")}
	}
	return isolation.Sight{Levels: pod.levels, Doubt: n.doubt, Inspected: pod.inspected, Findings: n.findings[uid]}
}
