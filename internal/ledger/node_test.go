// SPDX-License-Identifier: Apache-2.0

package ledger_test

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
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// sightOf is what is seen of a pod on a node.
func sightOf(s *ledgertest.Scene, node string, pod types.UID) isolation.Sight {
	on := corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod}, Spec: corev1.PodSpec{NodeName: node}}
	return ledger.SightOf(&on, s.Reports[node], s.Agents[node], ledgertest.Now)
}

func TestAReportCountsOnlyWhileItsAgentIsAliveAndWell(t *testing.T) {
	condition := func(in *ledgertest.Scene, c metav1.Condition) {
		meta.SetStatusCondition(&in.Reports["one"].Status.Conditions, c)
	}
	for name, test := range map[string]struct {
		change func(*ledgertest.Scene)
		unseen string
	}{
		"alive and well":              {func(*ledgertest.Scene) {}, ""},
		"alive until the last moment": {func(in *ledgertest.Scene) { in.Agents["one"] = ledgertest.Now.Add(-120 * time.Second) }, ""},
		"no report":                   {func(in *ledgertest.Scene) { delete(in.Reports, "one") }, "node one: no agent has reported"},
		"no Lease":                    {func(in *ledgertest.Scene) { delete(in.Agents, "one") }, "node one: no agent has reported"},
		"silent": {
			func(in *ledgertest.Scene) { in.Agents["one"] = ledgertest.Now.Add(-121 * time.Second) },
			"node one: its agent has been silent since 2026-05-04T11:57:59Z",
		},
		"from the future": {
			func(in *ledgertest.Scene) { in.Agents["one"] = ledgertest.Now.Add(time.Hour) },
			"node one: its agent's clock is wrong, it says 2026-05-04T13:00:00Z",
		},
		"not ready": {func(in *ledgertest.Scene) {
			condition(in, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "LookFailed", Message: "no /proc"})
		}, "the agent of node one is not ready: LookFailed: no /proc"},
		"degraded": {func(in *ledgertest.Scene) {
			condition(in, metav1.Condition{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionTrue, Reason: "NoPtrace", Message: "a\nb"})
		}, `node one is degraded: NoPtrace: a\nb`},
		"says nothing of itself": {
			func(in *ledgertest.Scene) { in.Reports["one"].Status.Conditions = nil },
			"the agent of node one is not ready: its report does not say how it is",
		},
		"says only that it is ready": {
			func(in *ledgertest.Scene) {
				in.Reports["one"].Status.Conditions = in.Reports["one"].Status.Conditions[:1]
			},
			"node one is degraded: its report does not say how it is",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := ledgertest.World()
			test.change(&in)
			if r := in.Reports["one"]; r != nil {
				r.Status.Groups = []v1alpha1.ObservedGroup{ledgertest.Group(ledgertest.Isolated, "a")}
			}
			seen := sightOf(&in, "one", "uid-a")
			NewWithT(t).Expect(seen.Unseen + seen.Doubt).To(Equal(test.unseen))
		})
	}
}

func TestAPodIsSeenOnlyByTheNodeOnWhichItIs(t *testing.T) {
	g := NewWithT(t)
	in := ledgertest.World()
	in.Reports["one"] = ledgertest.Report("one", ledgertest.Group(ledgertest.Isolated, "here"))
	in.Reports["two"] = ledgertest.Report("two", ledgertest.Group(ledgertest.Isolated, "elsewhere", "here"))
	in.Agents["two"] = ledgertest.Now
	here, elsewhere, nowhere := ledgertest.Running("here", 0), ledgertest.Running("elsewhere", 0), ledgertest.Running("nowhere", 0)
	nowhere.Spec.NodeName = ""
	seen := func(pod corev1.Pod) string {
		return sightOf(&in, pod.Spec.NodeName, pod.UID).Unseen
	}
	g.Expect(seen(here)).To(BeEmpty())
	g.Expect(seen(elsewhere)).To(Equal("the agent of node one has not seen it"))
	g.Expect(seen(nowhere)).To(Equal("it is not on a node yet"))

	in.Reports["one"].Status.Truncated = true
	g.Expect(seen(elsewhere)).To(ContainSubstring("more pods than its report can name"))
}

func TestOfAPodThatIsNamedTwiceTheLowestLevelsCount(t *testing.T) {
	g := NewWithT(t)
	onHostNetwork := ledgertest.Isolated
	onHostNetwork.Network = v1alpha1.LevelHost
	in := ledgertest.World()
	in.Reports["one"] = ledgertest.Report("one", ledgertest.Group(ledgertest.Isolated, "twice"), ledgertest.Group(ledgertest.OnHostPID(), "twice"), ledgertest.Group(onHostNetwork, "twice", "twice"))
	levels := sightOf(&in, "one", "uid-twice").Levels
	g.Expect(levels[isolation.PID]).To(Equal(isolation.Host))
	g.Expect(levels[isolation.Network]).To(Equal(isolation.Host))
	g.Expect(levels[isolation.IPC]).To(Equal(isolation.Pod))
}

func TestAPodWasLookedAtCloselyIfItsReportSaysSoEachTime(t *testing.T) {
	g := NewWithT(t)
	in := ledgertest.World()
	unsaid := ledgertest.Group(ledgertest.Isolated, "unsaid", "either")
	unsaid.Inspected = false
	in.Reports["one"] = ledgertest.Report("one", ledgertest.Group(ledgertest.Isolated, "said", "either"), unsaid, ledgertest.Group(ledgertest.Isolated, "either"))
	for name, want := range map[types.UID]bool{"uid-said": true, "uid-unsaid": false, "uid-either": false} {
		g.Expect(sightOf(&in, "one", name).Inspected).To(Equal(want), string(name))
	}
}

func TestANumberInAReportTakesNoMemory(_ *testing.T) {
	in := ledgertest.World()
	for _, n := range []int32{math.MaxInt32, math.MinInt32} {
		in.Reports["one"].Status.PodsTotal, in.Reports["one"].Status.FindingsTotal = n, n
		sightOf(&in, "one", "uid-a")
	}
}
