// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"math"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestAReportCountsOnlyWhileItsAgentIsAliveAndWell(t *testing.T) {
	condition := func(in *input, c metav1.Condition) {
		meta.SetStatusCondition(&in.Reports["one"].Status.Conditions, c)
	}
	for name, test := range map[string]struct {
		change func(*input)
		unseen string
	}{
		"alive and well":              {func(*input) {}, ""},
		"alive until the last moment": {func(in *input) { in.Agents["one"] = now.Add(-120 * time.Second) }, ""},
		"no report":                   {func(in *input) { delete(in.Reports, "one") }, "node one: no agent has reported"},
		"no Lease":                    {func(in *input) { delete(in.Agents, "one") }, "node one: no agent has reported"},
		"silent": {
			func(in *input) { in.Agents["one"] = now.Add(-121 * time.Second) },
			"node one: its agent has been silent since 2026-05-04T11:57:59Z",
		},
		"from the future": {
			func(in *input) { in.Agents["one"] = now.Add(time.Hour) },
			"node one: its agent's clock is wrong, it says 2026-05-04T13:00:00Z",
		},
		"not ready": {func(in *input) {
			condition(in, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "LookFailed", Message: "no /proc"})
		}, "the agent of node one is not ready: LookFailed: no /proc"},
		"degraded": {func(in *input) {
			condition(in, metav1.Condition{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionTrue, Reason: "NoPtrace", Message: "a\nb"})
		}, `node one is degraded: NoPtrace: a\nb`},
		"says nothing of itself": {
			func(in *input) { in.Reports["one"].Status.Conditions = nil },
			"the agent of node one is not ready: its report does not say how it is",
		},
		"says only that it is ready": {
			func(in *input) {
				in.Reports["one"].Status.Conditions = in.Reports["one"].Status.Conditions[:1]
			},
			"node one is degraded: its report does not say how it is",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := world()
			test.change(in)
			if r := in.Reports["one"]; r != nil {
				r.Status.Groups = []v1alpha1.ObservedGroup{group(isolated, "a")}
			}
			seen := sightOf(in, "one").of("uid-a")
			NewWithT(t).Expect(seen.Unseen + seen.Doubt).To(Equal(test.unseen))
		})
	}
}

func TestADegradedNodeProvesNothingAndHidesNoBreach(t *testing.T) {
	g := NewWithT(t)
	in := world()
	in.Pods = []corev1.Pod{running("good", time.Hour), running("bad", time.Hour), running("unnamed", time.Hour)}
	in.Reports["one"] = report("one", group(isolated, "good"), group(onHostPID(), "bad"))
	meta.SetStatusCondition(&in.Reports["one"].Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionTrue, Reason: "NoPtrace", Message: "refused",
	})
	status := judgeOne(in, demanding("all")).status
	g.Expect(status.Pods).To(Equal(v1alpha1.PodCounts{Matched: 3, Breached: 1, Unverified: 2}))
	g.Expect(status.Nodes).To(Equal(v1alpha1.NodeCounts{Stale: 1}))
	g.Expect(status.Findings[0]).To(SatisfyAll(HaveField("Kind", v1alpha1.Breach), HaveField("Pod", "bad")))
	for _, f := range status.Findings[1:] {
		g.Expect(f).To(SatisfyAll(HaveField("Kind", v1alpha1.Unverified), HaveField("Message", "node one is degraded: NoPtrace: refused")))
	}
	g.Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionVerified).Reason).To(Equal(v1alpha1.ReasonBreached))
}

func TestAPodIsSeenOnlyByTheNodeOnWhichItIs(t *testing.T) {
	g := NewWithT(t)
	in := world()
	in.Reports["one"] = report("one", group(isolated, "here"))
	in.Reports["two"] = report("two", group(isolated, "elsewhere", "here"))
	in.Agents["two"] = now
	here, elsewhere, nowhere := running("here", 0), running("elsewhere", 0), running("nowhere", 0)
	nowhere.Spec.NodeName = ""
	seen := func(pod corev1.Pod) string {
		s, _ := sights{}.of(in, &pod)
		return s.Unseen
	}
	g.Expect(seen(here)).To(BeEmpty())
	g.Expect(seen(elsewhere)).To(Equal("the agent of node one has not seen it"))
	g.Expect(seen(nowhere)).To(Equal("it is not on a node yet"))

	in.Reports["one"].Status.Truncated = true
	g.Expect(seen(elsewhere)).To(ContainSubstring("more pods than its report can name"))
}

func TestOfAPodThatIsNamedTwiceTheLowestLevelsCount(t *testing.T) {
	g := NewWithT(t)
	onHostNetwork := isolated
	onHostNetwork.Network = v1alpha1.LevelHost
	in := world()
	in.Reports["one"] = report("one", group(isolated, "twice"), group(onHostPID(), "twice"), group(onHostNetwork, "twice", "twice"))
	levels := sightOf(in, "one").of("uid-twice").Levels
	g.Expect(levels[isolation.PID]).To(Equal(isolation.Host))
	g.Expect(levels[isolation.Network]).To(Equal(isolation.Host))
	g.Expect(levels[isolation.IPC]).To(Equal(isolation.Pod))
}

func TestAPodWasLookedAtCloselyIfItsReportSaysSoEachTime(t *testing.T) {
	g := NewWithT(t)
	in := world()
	unsaid := group(isolated, "unsaid", "either")
	unsaid.Inspected = false
	in.Reports["one"] = report("one", group(isolated, "said", "either"), unsaid, group(isolated, "either"))
	for name, want := range map[types.UID]bool{"uid-said": true, "uid-unsaid": false, "uid-either": false} {
		g.Expect(sightOf(in, "one").of(name).Inspected).To(Equal(want), string(name))
	}
}

func TestANumberInAReportTakesNoMemory(_ *testing.T) {
	in := world()
	for _, n := range []int32{math.MaxInt32, math.MinInt32} {
		in.Reports["one"].Status.PodsTotal, in.Reports["one"].Status.FindingsTotal = n, n
		sightOf(in, "one")
	}
}
