// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// AgentState says whether what the agent of a node reports counts.
type AgentState string

const (
	// AgentReporting: it is alive, and what it reports counts.
	AgentReporting AgentState = "Reporting"
	// AgentDegraded: it is alive, and cannot see everything: what it reports counts only for what is
	// wrong.
	AgentDegraded AgentState = "Degraded"
	// AgentNotReady: it is alive, and its report does not hold what it sees.
	AgentNotReady AgentState = "NotReady"
	// AgentSilent: it has not said for too long that it is alive, or its clock is wrong.
	AgentSilent AgentState = "Silent"
	// AgentAbsent: it has not reported yet, or there is none.
	AgentAbsent AgentState = "Absent"
	// AgentNotApplicable: there can be none, for the node runs Windows.
	AgentNotApplicable AgentState = "NotApplicable"
)

// Sights are what the agents of all nodes say at one moment, for who keeps no books. Each report is read
// once.
type Sights struct {
	reports map[string]*v1alpha1.NodeIsolationReport
	renewed map[string]time.Time
	now     time.Time
	windows map[string]bool
	nodes   map[string]*node
}

// NewSights is what these reports say, by the node's name. renewed is when each node's agent last said
// that it is alive.
func NewSights(reports map[string]*v1alpha1.NodeIsolationReport, renewed map[string]time.Time, now time.Time) *Sights {
	return &Sights{reports: reports, renewed: renewed, now: now, nodes: make(map[string]*node)}
}

// OnWindows tells that a node runs Windows. To be told before anything is asked.
func (s *Sights) OnWindows(name string) {
	if s.windows == nil {
		s.windows = make(map[string]bool)
	}
	s.windows[name] = true
}

// Of is what the agent of its node says of a pod.
func (s *Sights) Of(on *corev1.Pod) isolation.Sight {
	p := &pod{Pod: &Pod{ObjectMeta: metav1.ObjectMeta{UID: on.UID}, Spec: &on.Spec}}
	if on.Spec.NodeName != "" {
		p.node = s.node(on.Spec.NodeName)
	}
	return p.sight()
}

// Agent tells how a node's agent is, and why it is no better than that.
func (s *Sights) Agent(name string) (state AgentState, why string) {
	n := s.node(name)
	return n.agent, cmp.Or(n.unseen, n.doubt)
}

func (s *Sights) node(name string) *node {
	n := s.nodes[name]
	if n == nil {
		n = &node{name: name, report: s.reports[name], renewed: s.renewed[name], windows: s.windows[name]}
		n.state = n.stateAt(s.now)
		n.read()
		s.nodes[name] = n
	}
	return n
}

// SightOf is what a node's report says of a pod that the API places there, if its agent was alive then:
// renewed is when it last said so, zero if it never did. report may be nil.
func SightOf(pod *corev1.Pod, report *v1alpha1.NodeIsolationReport, renewed, now time.Time) isolation.Sight {
	node := pod.Spec.NodeName
	return NewSights(map[string]*v1alpha1.NodeIsolationReport{node: report}, map[string]time.Time{node: renewed}, now).Of(pod)
}

// AgentCounts counts nodes by how their agents are: every node that has a pod, a report or an agent, or runs
// Windows, is in one of the first five.
type AgentCounts struct {
	// Reporting agents see everything.
	Reporting int
	// Degraded ones are alive and do not see everything, or say that they are not ready.
	Degraded int
	// Silent ones have not said in time that they are alive, or not by a right clock.
	Silent int
	// Absent is where no agent has reported.
	Absent int
	// NotApplicable is where none can be: on Windows.
	NotApplicable int
	// Truncated is how many reports could not name everything.
	Truncated int
	// Oldest is when the agent that has been silent for longest last said that it is alive; zero if none ever did.
	Oldest time.Time
}

// Agents counts the nodes as they are now.
func (l *Ledger) Agents() AgentCounts {
	var c AgentCounts
	for _, n := range l.nodes {
		if !n.counts() {
			continue
		}
		if n.report != nil && n.report.Status.Truncated {
			c.Truncated++
		}
		switch n.stateAt(l.now).agent {
		case AgentAbsent:
			c.Absent++
			continue
		case AgentNotApplicable:
			c.NotApplicable++
			continue
		case AgentSilent:
			c.Silent++
		case AgentReporting:
			c.Reporting++
		default:
			c.Degraded++
		}
		if c.Oldest.IsZero() || n.renewed.Before(c.Oldest) {
			c.Oldest = n.renewed
		}
	}
	return c
}
