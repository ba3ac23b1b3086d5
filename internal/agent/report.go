// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Sighting is what is to be reported after a look.
type Sighting struct {
	// At is the time of the look.
	At time.Time
	// Err is set if the look failed; then only At means anything beside it.
	Err error
	// Observation of the look.
	Observation isolation.Observation
	// Facts name the kernel and the runtime.
	Facts v1alpha1.NodeFacts
	// Node are the node's own namespaces.
	Node procns.NodeNamespaces
	// Problems that the look had.
	Problems []Problem
}

// ReasonLookFailed is the reason of a report's condition Ready when the last look failed.
const ReasonLookFailed = "LookFailed"

// StatusOf is a report's status after a sighting. changed is false if it says the same as the
// previous status; then it is the previous one.
func StatusOf(s *Sighting, previous *v1alpha1.NodeIsolationReportStatus) (status v1alpha1.NodeIsolationReportStatus, changed bool) {
	now := metav1.NewTime(s.At).Rfc3339Copy()
	next := previous.DeepCopy()
	if s.Err == nil {
		next = &v1alpha1.NodeIsolationReportStatus{
			Node: s.Facts, Nested: s.Node.Nested,
			ChangedAt: previous.ChangedAt, Conditions: slices.Clone(previous.Conditions),
		}
		next.Namespaces = nodeNamespaces(&s.Node)
		untold := fillFindings(next, s.Observation.Findings, firstSeen(previous), now)
		fillGroups(next, s.Observation.Pods, untold)
	}
	for _, c := range conditions(s) {
		c.LastTransitionTime = now
		meta.SetStatusCondition(&next.Conditions, c)
	}
	if equality.Semantic.DeepEqual(next, previous) {
		return *previous, false
	}
	next.ChangedAt = &now
	return *next, true
}

// conditions are Ready and Degraded, without times.
func conditions(s *Sighting) []metav1.Condition {
	if s.Err != nil {
		return []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: ReasonLookFailed,
			Message: isolation.Sanitize(s.Err.Error(), 1024),
		}}
	}
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking,
		Message: "this report holds what the last look saw",
	}
	degraded := metav1.Condition{
		Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished,
		Message: "the node's namespaces are established, and those of processes in containers can be read",
	}
	for i, p := range s.Problems {
		if i == 0 {
			degraded.Status, degraded.Reason, degraded.Message = metav1.ConditionTrue, p.Reason, p.Message
			continue
		}
		degraded.Message += "; " + p.Message
	}
	return []metav1.Condition{ready, degraded}
}

// nodeNamespaces tells which namespaces are the node's, and how that was established.
func nodeNamespaces(node *procns.NodeNamespaces) []v1alpha1.NodeNamespace {
	out := make([]v1alpha1.NodeNamespace, 0, isolation.NumAxes)
	for _, a := range isolation.Axes {
		set := &node.Sets[a]
		n := v1alpha1.NodeNamespace{Axis: a.API(), EstablishedBy: string(set.Witness)}
		for _, id := range set.IDs {
			n.Inodes = append(n.Inodes, int64(id.Ino))
		}
		if set.Err != nil {
			n.Reason = isolation.Sanitize(set.Err.Error(), 1024)
		}
		out = append(out, n)
	}
	return out
}

// fillGroups groups the pods by their levels, the least isolated first, and cuts off what is too
// much. Pods of which findings are untold do not count as looked at closely.
func fillGroups(status *v1alpha1.NodeIsolationReportStatus, pods []isolation.ObservedPod, untold map[string]bool) {
	pods = slices.Clone(pods)
	for i := range pods {
		pods[i].Inspected = pods[i].Inspected && !untold[pods[i].UID]
	}
	slices.SortFunc(pods, func(a, b isolation.ObservedPod) int {
		return cmp.Or(
			slices.Compare(a.Levels[:], b.Levels[:]), compareBool(a.Inspected, b.Inspected),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID),
		)
	})
	status.PodsTotal = int32(len(pods))
	if len(pods) > v1alpha1.MaxReportPods {
		pods, status.Truncated = pods[:v1alpha1.MaxReportPods], true
	}
	for i := range pods {
		if p := &pods[i]; i == 0 || p.Levels != pods[i-1].Levels || p.Inspected != pods[i-1].Inspected {
			if len(status.Groups) == v1alpha1.MaxReportGroups {
				status.Truncated = true
				return
			}
			status.Groups = append(status.Groups, v1alpha1.ObservedGroup{Levels: p.Levels.API(), Inspected: p.Inspected})
		}
		g := &status.Groups[len(status.Groups)-1]
		g.Pods = append(g.Pods, observedPod(pods[i].PodRef))
	}
}

// compareBool puts false first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// observedPod names a pod. A UID that the API does not know is text from a cgroup's path.
func observedPod(p isolation.PodRef) v1alpha1.ObservedPod {
	return v1alpha1.ObservedPod{
		UID:       types.UID(isolation.Sanitize(p.UID, 128)),
		Namespace: isolation.Sanitize(p.Namespace, 63), Name: isolation.Sanitize(p.Name, 253),
	}
}

// fillFindings lists the findings, which come worst first, and cuts off what is too much; untold are the
// pods (by UID) of which something was cut off.
func fillFindings(status *v1alpha1.NodeIsolationReportStatus, findings []isolation.Finding, known map[string]metav1.Time, now metav1.Time) (untold map[string]bool) {
	status.FindingsTotal = int32(len(findings))
	if len(findings) > v1alpha1.MaxReportFindings {
		untold = make(map[string]bool)
		for _, f := range findings[v1alpha1.MaxReportFindings:] {
			untold[f.Pod.UID] = true
		}
		findings, status.Truncated = findings[:v1alpha1.MaxReportFindings], true
	}
	for i := range findings {
		n := nodeFinding(&findings[i])
		n.FirstSeen = now
		if first, ok := known[coreFinding(&n).Key()]; ok {
			n.FirstSeen = first
		}
		status.Findings = append(status.Findings, n)
	}
	return untold
}

// nodeFinding is a finding as the API writes it.
func nodeFinding(f *isolation.Finding) v1alpha1.NodeFinding {
	n := v1alpha1.NodeFinding{
		Kind: f.Kind, Pod: observedPod(f.Pod),
		Container: isolation.Sanitize(f.Container, 63), ContainerID: isolation.Sanitize(f.ContainerID, 128),
		Axis: v1alpha1.Axis(f.Axis), Portal: isolation.Sanitize(f.Portal, 63), Claimed: f.Claimed.API(), Observed: f.Observed.API(),
		Message: clip(f.Message, 1024),
	}
	for _, name := range f.Capabilities {
		n.Capabilities = append(n.Capabilities, v1alpha1.Capability(name))
	}
	if e := f.Evidence; e != nil {
		n.Evidence = &v1alpha1.Evidence{
			PID: int64(e.PID), TID: int64(e.TID), StartTime: int64(e.StartTime), Command: clip(e.Command, 256),
			Inode: int64(e.Inode), Owner: isolation.Sanitize(e.Owner, 320), OwnInode: int64(e.OwnInode),
			Processes: int32(e.Processes), Check: clip(e.Check, 128),
		}
	}
	return n
}

// clip bounds text that is sanitised already, and so has one byte for each character.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return s[:max-3] + "..."
}

// coreFinding is a finding of a report as the core takes it, as far as it identifies it.
func coreFinding(n *v1alpha1.NodeFinding) *isolation.Finding {
	f := &isolation.Finding{
		Kind: n.Kind, Pod: isolation.PodRef{UID: string(n.Pod.UID), Namespace: n.Pod.Namespace, Name: n.Pod.Name},
		Container: n.Container, ContainerID: n.ContainerID, Axis: string(n.Axis), Portal: n.Portal, Message: n.Message,
	}
	if e := n.Evidence; e != nil {
		f.Evidence = &isolation.Evidence{PID: int(e.PID), TID: int(e.TID), StartTime: uint64(e.StartTime)}
	}
	return f
}

// firstSeen tells since when each finding of a report has been known.
func firstSeen(status *v1alpha1.NodeIsolationReportStatus) map[string]metav1.Time {
	known := make(map[string]metav1.Time, len(status.Findings))
	for i := range status.Findings {
		known[coreFinding(&status.Findings[i]).Key()] = status.Findings[i].FirstSeen
	}
	return known
}

// KnownFindings are what a former life of the agent found, for [isolation.NewTracker]. After a boot
// there are none: it names processes that are no more.
func KnownFindings(status *v1alpha1.NodeIsolationReportStatus, bootID string) []isolation.Finding {
	if status.Node.BootID != bootID {
		return nil
	}
	known := make([]isolation.Finding, 0, len(status.Findings))
	for i := range status.Findings {
		known = append(known, *coreFinding(&status.Findings[i]))
	}
	return known
}
