// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	corev1 "k8s.io/api/core/v1"

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
)

// agentOf tells how a node's agent is, and why it is no better than that.
func agentOf(in *input, node string) (state AgentState, why string) {
	report, renewed := in.Reports[node], in.Agents[node]
	switch {
	case report == nil || renewed.IsZero():
		return AgentAbsent, "node " + node + ": no agent has reported"
	case renewed.After(in.Now) && !fresh(renewed, in.Now, agentLease):
		return AgentSilent, "node " + node + ": its agent's clock is wrong, it says " + renewed.UTC().Format(time.RFC3339)
	case !fresh(renewed, in.Now, agentLease):
		return AgentSilent, "node " + node + ": its agent has been silent since " + renewed.UTC().Format(time.RFC3339)
	}
	switch unseen, doubt := unfit(node, &report.Status); {
	case unseen != "":
		return AgentNotReady, unseen
	case doubt != "":
		return AgentDegraded, doubt
	}
	return AgentReporting, ""
}

// Sights are what the agents of all nodes say at one moment. Each report is read once.
type Sights struct {
	in   *input
	read sights
}

// NewSights is what these reports say, by the node's name. renewed is when each node's agent last said
// that it is alive.
func NewSights(reports map[string]*v1alpha1.NodeIsolationReport, renewed map[string]time.Time, now time.Time) *Sights {
	return &Sights{in: &input{Now: now, Reports: reports, Agents: renewed}, read: sights{}}
}

// Of is what the agent of its node says of a pod.
func (s *Sights) Of(pod *corev1.Pod) isolation.Sight {
	sight, _ := s.read.of(s.in, pod)
	return sight
}

// Agent tells how a node's agent is, and why it is no better than that.
func (s *Sights) Agent(node string) (state AgentState, why string) { return agentOf(s.in, node) }

// SightOf is what a node's report says of a pod that the API places there, if its agent was alive then:
// renewed is when it last said so, zero if it never did. report may be nil.
func SightOf(pod *corev1.Pod, report *v1alpha1.NodeIsolationReport, renewed, now time.Time) isolation.Sight {
	node := pod.Spec.NodeName
	return NewSights(map[string]*v1alpha1.NodeIsolationReport{node: report}, map[string]time.Time{node: renewed}, now).Of(pod)
}
