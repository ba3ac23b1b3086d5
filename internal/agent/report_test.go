// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// sighting is one that saw the pods and the findings.
func sighting(at time.Time, pods []isolation.ObservedPod, findings []isolation.Finding) *Sighting {
	return &Sighting{
		At: at, Facts: v1alpha1.NodeFacts{BootID: "boot", KernelVersion: "6.18"},
		Observation: isolation.Observation{Pods: pods, Findings: findings},
		Node:        procns.NodeNamespaces{},
	}
}

func observed(name string, levels isolation.Vector) isolation.ObservedPod {
	return isolation.ObservedPod{PodRef: isolation.PodRef{UID: "uid-" + name, Namespace: "ns", Name: name}, Levels: levels}
}

func escape(container string) isolation.Finding {
	return isolation.Finding{
		Kind: v1alpha1.Escape, Pod: isolation.PodRef{UID: "uid", Namespace: "ns", Name: "pod"},
		Container: "app", ContainerID: container, Axis: "mount", Observed: isolation.Host, Message: "out",
		Evidence: &isolation.Evidence{PID: 7, StartTime: 70, Command: "sh", Processes: 1},
	}
}

func TestStatusGroupsPodsByTheirLevelsTheLeastIsolatedFirst(t *testing.T) {
	open := plain
	open[isolation.Network] = isolation.Host
	status, _ := StatusOf(sighting(start, []isolation.ObservedPod{
		observed("b", plain), observed("c", open), observed("a", plain),
	}, nil), &v1alpha1.NodeIsolationReportStatus{})
	var got []string
	for _, g := range status.Groups {
		for _, p := range g.Pods {
			got = append(got, string(g.Levels.Network)+" "+p.Name)
		}
	}
	same(t, got, []string{"Host c", "Pod a", "Pod b"})
	same(t, status.PodsTotal, int32(3))
	same(t, status.Groups[0].Levels.Cgroup, v1alpha1.LevelUnknown) // nobody looked: nothing is known
}

func TestStatusTellsWhichPodsWereLookedAtClosely(t *testing.T) {
	near := func(name string) isolation.ObservedPod {
		p := observed(name, plain)
		p.Inspected = true
		return p
	}
	inspected := func(findings ...isolation.Finding) map[string]bool {
		status, _ := StatusOf(sighting(start, []isolation.ObservedPod{near("a"), observed("b", plain), near("c")}, findings), &v1alpha1.NodeIsolationReportStatus{})
		said := make(map[string]bool)
		for _, g := range status.Groups {
			for _, p := range g.Pods {
				said[p.Name] = g.Inspected
			}
		}
		same(t, len(status.Groups), 2)
		return said
	}
	same(t, inspected(), map[string]bool{"a": true, "b": false, "c": true})

	var many []isolation.Finding
	for i := range v1alpha1.MaxReportFindings {
		many = append(many, escape(fmt.Sprint(i)))
	}
	last := isolation.Finding{Kind: v1alpha1.Portal, Pod: isolation.PodRef{UID: "uid-c"}, Portal: "hostPaths", Message: "cut off"}
	same(t, inspected(append(many, last)...), map[string]bool{"a": true, "b": false, "c": false})
}

func TestStatusNamesCapabilities(t *testing.T) {
	status, _ := StatusOf(sighting(start, nil, []isolation.Finding{{Kind: v1alpha1.Portal, Portal: "capabilities", Capabilities: []string{"BPF"}}}), &v1alpha1.NodeIsolationReportStatus{})
	same(t, status.Findings[0].Capabilities, []v1alpha1.Capability{"BPF"})
}

func TestStatusSaysNothingNewWhenNothingChanged(t *testing.T) {
	pods := []isolation.ObservedPod{observed("a", plain)}
	first, changed := StatusOf(sighting(start, pods, []isolation.Finding{escape("x")}), &v1alpha1.NodeIsolationReportStatus{})
	if !changed {
		t.Fatal("the first status is no change")
	}
	again, changed := StatusOf(sighting(start.Add(time.Minute), pods, []isolation.Finding{escape("x")}), &first)
	if changed {
		t.Error("nothing changed, and the status says it did")
	}
	same(t, again, first)
	cleared, changed := StatusOf(sighting(start.Add(2*time.Minute), pods, nil), &first)
	if !changed || !cleared.ChangedAt.Equal(&metav1.Time{Time: start.Add(2 * time.Minute)}) {
		t.Errorf("a finding went: changed %v at %v", changed, cleared.ChangedAt)
	}
	if before, after := first.Conditions, cleared.Conditions; !slices.Equal(before, after) {
		t.Errorf("conditions moved without a change: %v, %v", before, after)
	}
}

func TestStatusKeepsWhenAFindingWasFirstSeen(t *testing.T) {
	first, _ := StatusOf(sighting(start, nil, []isolation.Finding{escape("x")}), &v1alpha1.NodeIsolationReportStatus{})
	forked := escape("x")
	forked.Evidence.PID = 8
	next, changed := StatusOf(sighting(start.Add(time.Hour), nil, []isolation.Finding{forked, escape("y")}), &first)
	if !changed {
		t.Fatal("a second finding is a change")
	}
	same(t, next.Findings[0].FirstSeen.Time.Equal(start), true)
	same(t, next.Findings[0].Evidence.PID, int64(8))
	same(t, next.Findings[1].FirstSeen.Time.Equal(start.Add(time.Hour)), true)
}

func TestStatusIsBoundedAndTellsTrueTotals(t *testing.T) {
	t.Run("findings", func(t *testing.T) {
		var findings []isolation.Finding
		for i := range v1alpha1.MaxReportFindings + 1 {
			findings = append(findings, escape(fmt.Sprint(i)))
		}
		status, _ := StatusOf(sighting(start, nil, findings), &v1alpha1.NodeIsolationReportStatus{})
		same(t, len(status.Findings), v1alpha1.MaxReportFindings)
		same(t, status.FindingsTotal, int32(v1alpha1.MaxReportFindings+1))
		same(t, status.Truncated, true)
		status, _ = StatusOf(sighting(start, nil, findings[1:]), &v1alpha1.NodeIsolationReportStatus{})
		same(t, status.Truncated, false)
	})
	t.Run("pods", func(t *testing.T) {
		var pods []isolation.ObservedPod
		for i := range v1alpha1.MaxReportPods + 1 {
			pods = append(pods, observed(fmt.Sprintf("p%05d", i), plain))
		}
		status, _ := StatusOf(sighting(start, pods, nil), &v1alpha1.NodeIsolationReportStatus{})
		same(t, len(status.Groups), 1)
		same(t, len(status.Groups[0].Pods), v1alpha1.MaxReportPods)
		same(t, status.PodsTotal, int32(v1alpha1.MaxReportPods+1))
		same(t, status.Truncated, true)
	})
	t.Run("groups", func(t *testing.T) {
		var pods []isolation.ObservedPod
		levels := []isolation.Level{isolation.Host, isolation.Foreign, isolation.Pod, isolation.Container, isolation.Unknown}
		for i := range v1alpha1.MaxReportGroups + 1 {
			v := plain
			for a, n := 0, i; n > 0; a, n = a+1, n/len(levels) {
				v[a] = levels[n%len(levels)]
			}
			v[7] = isolation.Host
			pods = append(pods, observed(fmt.Sprintf("p%05d", i), v))
		}
		status, _ := StatusOf(sighting(start, pods, nil), &v1alpha1.NodeIsolationReportStatus{})
		if len(status.Groups) > v1alpha1.MaxReportGroups || status.PodsTotal != int32(len(pods)) {
			t.Errorf("%d groups, %d pods", len(status.Groups), status.PodsTotal)
		}
	})
	t.Run("text", func(t *testing.T) {
		long := strings.Repeat("x\x1b", 4000)
		f := escape(long)
		f.Pod = isolation.PodRef{UID: long, Namespace: long, Name: long}
		f.Container, f.Message, f.Evidence.Owner = long, strings.Repeat("m", 4000), long
		n := nodeFinding(&f)
		for name, length := range map[string][2]int{
			"uid": {len(n.Pod.UID), 128}, "namespace": {len(n.Pod.Namespace), 63}, "name": {len(n.Pod.Name), 253},
			"container": {len(n.Container), 63}, "containerID": {len(n.ContainerID), 128},
			"message": {len(n.Message), 1024}, "owner": {len(n.Evidence.Owner), 320},
		} {
			if length[0] > length[1] {
				t.Errorf("%s has %d bytes, the API allows %d", name, length[0], length[1])
			}
		}
		if strings.ContainsRune(n.Container+n.ContainerID+string(n.Pod.UID), '\x1b') {
			t.Error("text of processes is not sanitised")
		}
	})
}

func TestConditions(t *testing.T) {
	empty := &v1alpha1.NodeIsolationReportStatus{}
	status, _ := StatusOf(sighting(start, nil, nil), empty)
	condition := func(name string) *metav1.Condition { return meta.FindStatusCondition(status.Conditions, name) }
	t.Run("a look that sees everything is ready and not degraded", func(t *testing.T) {
		same(t, condition(v1alpha1.ConditionReady).Status, metav1.ConditionTrue)
		same(t, condition(v1alpha1.ConditionDegraded).Status, metav1.ConditionFalse)
	})
	t.Run("problems degrade, all are told, and the transition has its time", func(t *testing.T) {
		s := sighting(start.Add(time.Minute), nil, nil)
		s.Problems = []Problem{{ReasonNamespacesUnknown, "first"}, {ReasonReadRefused, "second"}}
		status, _ = StatusOf(s, &status)
		d := condition(v1alpha1.ConditionDegraded)
		same(t, []string{string(d.Status), d.Reason, d.Message}, []string{"True", ReasonNamespacesUnknown, "first; second"})
		same(t, d.LastTransitionTime.Time.Equal(start.Add(time.Minute)), true)
		same(t, condition(v1alpha1.ConditionReady).LastTransitionTime.Time.Equal(start), true)
	})
	t.Run("a look that failed is not ready, and takes nothing back", func(t *testing.T) {
		before := status
		before.PodsTotal = 3
		status, changed := StatusOf(&Sighting{At: start.Add(time.Hour), Err: errors.New("no\nproc")}, &before)
		r := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
		same(t, []string{string(r.Status), r.Reason, r.Message}, []string{"False", ReasonLookFailed, `no\nproc`})
		same(t, changed, true)
		same(t, status.PodsTotal, int32(3))
	})
}

func TestKnownFindings(t *testing.T) {
	status, _ := StatusOf(sighting(start, nil, []isolation.Finding{escape("x")}), &v1alpha1.NodeIsolationReportStatus{})
	t.Run("are those of the report", func(t *testing.T) {
		known := KnownFindings(&status, "boot")
		want := escape("x")
		same(t, len(known), 1)
		same(t, known[0].Key(), want.Key())
		same(t, [2]uint64{uint64(known[0].Evidence.PID), known[0].Evidence.StartTime}, [2]uint64{7, 70})
	})
	t.Run("are none after a boot", func(t *testing.T) {
		same(t, len(KnownFindings(&status, "another boot")), 0)
	})
}

func TestKindsAndAxesHaveOneOrder(t *testing.T) {
	names := map[isolation.Axis]string{isolation.Network: "net", isolation.Mount: "mnt"}
	for _, a := range isolation.Axes {
		want := a.String()
		if short, ok := names[a]; ok {
			want = short
		}
		same(t, procns.Kind(a).String(), want)
	}
}
