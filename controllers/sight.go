// SPDX-License-Identifier: Apache-2.0

package controllers

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

// agentLease is how long an agent is believed to be alive after it last said so.
const agentLease = v1alpha1.AgentLeaseSeconds * time.Second

// nodeSight is what one node's report says of pods.
type nodeSight struct {
	node string
	// unseen is the reason why the report counts for no pod; empty if it counts.
	unseen string
	// doubt is the reason why the report counts only for what is wrong: the node cannot see
	// everything. Empty if it counts for all.
	doubt string
	// expires is when the agent will be silent if it says nothing more; zero if it already is.
	expires   time.Time
	levels    map[types.UID]isolation.Vector
	inspected map[types.UID]bool
	findings  map[types.UID][]v1alpha1.NodeFinding
	truncated bool
}

// sightOf reads what a node's report says, and whether it counts now.
func sightOf(in *input, node string) *nodeSight {
	n := &nodeSight{node: node}
	report, renewed := in.Reports[node], in.Agents[node]
	if report == nil || renewed.IsZero() {
		n.unseen = "node " + node + ": no agent has reported"
		return n
	}
	if !fresh(renewed, in.Now, agentLease) {
		n.unseen = "node " + node + ": its agent has been silent since " + renewed.UTC().Format(time.RFC3339)
		if renewed.After(in.Now) {
			n.unseen = "node " + node + ": its agent's clock is wrong, it says " + renewed.UTC().Format(time.RFC3339)
		}
		return n
	}
	n.expires = renewed.Add(agentLease).Add(time.Millisecond)
	if n.unseen, n.doubt = unfit(node, &report.Status); n.unseen != "" {
		return n
	}
	n.read(&report.Status)
	return n
}

// SightOf is what a node's report says of a pod that the API places there, if its agent was alive then:
// renewed is when it last said so, zero if it never did. report may be nil.
func SightOf(pod *corev1.Pod, report *v1alpha1.NodeIsolationReport, renewed, now time.Time) isolation.Sight {
	node := pod.Spec.NodeName
	in := &input{Now: now, Reports: map[string]*v1alpha1.NodeIsolationReport{node: report}, Agents: map[string]time.Time{node: renewed}}
	sight, _ := sights{}.of(in, pod)
	return sight
}

// fresh tells whether something that was renewed then is believed now. A time in the future is
// believed no longer than one in the past: nobody stays alive by a wrong clock.
func fresh(renewed, now time.Time, lease time.Duration) bool {
	return !renewed.IsZero() && now.Sub(renewed).Abs() <= lease
}

// unfit is the reason why what a report says does not count (unseen), or counts only for what is
// wrong (doubt); empty if it counts. Conditions that are not there, or not known, are no better than
// bad ones.
func unfit(node string, s *v1alpha1.NodeIsolationReportStatus) (unseen, doubt string) {
	why := func(c *metav1.Condition) string {
		if c == nil {
			return "its report does not say how it is"
		}
		return isolation.Sanitize(cmp.Or(c.Reason, string(c.Status))+": "+c.Message, 512)
	}
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionTrue {
		return "the agent of node " + node + " is not ready: " + why(ready), ""
	}
	degraded := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionDegraded)
	if degraded == nil || degraded.Status != metav1.ConditionFalse {
		return "", "node " + node + " is degraded: " + why(degraded)
	}
	return "", ""
}

// read takes what the report says. Of a pod that is named twice the lowest levels count, and it was
// looked at closely if both say so.
func (n *nodeSight) read(s *v1alpha1.NodeIsolationReportStatus) {
	n.truncated = s.Truncated
	n.levels = make(map[types.UID]isolation.Vector)
	n.inspected = make(map[types.UID]bool)
	n.findings = make(map[types.UID][]v1alpha1.NodeFinding)
	for i := range s.Groups {
		group := isolation.VectorOf(s.Groups[i].Levels)
		for _, p := range s.Groups[i].Pods {
			levels, twice := n.levels[p.UID]
			if twice {
				levels.Lower(&group)
			} else {
				levels = group
			}
			n.levels[p.UID] = levels
			n.inspected[p.UID] = s.Groups[i].Inspected && (!twice || n.inspected[p.UID])
		}
	}
	for i := range s.Findings {
		uid := s.Findings[i].Pod.UID
		n.findings[uid] = append(n.findings[uid], s.Findings[i])
	}
}

// of is what the node's report says of a pod that the API places on this node.
func (n *nodeSight) of(uid types.UID) isolation.Sight {
	if n.unseen != "" {
		return isolation.Sight{Unseen: n.unseen}
	}
	levels, seen := n.levels[uid]
	switch {
	case !seen && n.truncated:
		return isolation.Sight{Unseen: "the agent of node " + n.node + " has more pods than its report can name, and does not name this one"}
	case !seen:
		return isolation.Sight{Unseen: cmp.Or(n.doubt, "the agent of node "+n.node+" has not seen it")}
	}
	return isolation.Sight{Levels: levels, Doubt: n.doubt, Inspected: n.inspected[uid], Findings: n.findings[uid]}
}

// sights are the nodes' reports, each read once and only if a pod asks for it.
type sights map[string]*nodeSight

func (s sights) of(in *input, pod *corev1.Pod) (isolation.Sight, *nodeSight) {
	name := pod.Spec.NodeName
	if name == "" {
		return isolation.Sight{Unseen: "it is not on a node yet"}, nil
	}
	node, ok := s[name]
	if !ok {
		node = sightOf(in, name)
		s[name] = node
	}
	return node.of(pod.UID), node
}
