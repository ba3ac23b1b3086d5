// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// inSandbox is a scene with a pod that is well and one in a sandbox with a kernel of its own.
func inSandbox() ledgertest.Scene {
	s := ledgertest.World()
	s.Pods = []corev1.Pod{ledgertest.Running("well", time.Hour), ledgertest.Running("kata", time.Hour)}
	r := ledgertest.Report("one", ledgertest.Group(ledgertest.Isolated, "well"), ledgertest.Group(sandboxed, "kata"))
	r.Status.Findings = []v1alpha1.NodeFinding{{
		Kind: v1alpha1.Unverified, Pod: v1alpha1.ObservedPod{UID: "uid-kata"}, Message: "runtime class kata gives the pod a kernel of its own",
	}}
	s.Reports["one"] = r
	return s
}

func TestPodsThatNoAgentCanSeeAreToldApartAndDoNotPass(t *testing.T) {
	g := NewWithT(t)
	s, p := inSandbox(), ledgertest.Demanding("all")
	s.Pods = append(s.Pods, ledgertest.Running("ads", time.Hour), ledgertest.Running("iis", time.Hour))
	s.Pods[2].Spec.NodeName, s.Nodes = "win", map[string]*corev1.Node{"win": ledgertest.WindowsNode("win")}
	s.Pods[3].Spec.NodeName, s.Pods[3].Spec.OS = "other", &corev1.PodOS{Name: corev1.Windows}
	standing := s.Ledger(ledgertest.Now, p).Standing(p.UID)
	g.Expect(standing.Pods).To(Equal(v1alpha1.PodCounts{Matched: 4, Unverified: 3, NotApplicable: 3, Compliant: 1}))
	g.Expect(standing.Nodes).To(Equal(v1alpha1.NodeCounts{Reporting: 1, Stale: 1}), "no agent is missed on the node that runs Windows; one is on the other")
	g.Expect(standing.Verified).To(SatisfyAll(
		HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonNotApplicable),
		HaveField("Message", SatisfyAll(
			HavePrefix("3 of 4 pods can be seen by no agent, for they run on Windows or in a sandbox with a kernel of its own, and what nobody sees is not verified; the others were observed as required: "),
			ContainSubstring("shop/kata (pid is NotApplicable, Container is required: runtime class kata gives the pod a kernel of its own)"),
			ContainSubstring("shop/ads (node win runs Windows, where no agent can look)"),
			ContainSubstring("shop/iis (it is for Windows, where no agent can look)")))))
}

func TestAnAgentThatIsSilentIsNotExcusedByPodsThatNoAgentCanSee(t *testing.T) {
	g := NewWithT(t)
	s, p := inSandbox(), ledgertest.Demanding("all")
	s.Pods = append(s.Pods, ledgertest.Running("lost", time.Hour))
	s.Pods[2].Spec.NodeName = "absent"
	l := s.Ledger(ledgertest.Now, p)
	g.Expect(l.Standing(p.UID).Pods).To(Equal(v1alpha1.PodCounts{Matched: 3, Unverified: 2, NotApplicable: 1, Compliant: 1}))
	g.Expect(l.Standing(p.UID).Verified).To(SatisfyAll(
		HaveField("Reason", v1alpha1.ReasonUnverified),
		HaveField("Message", HavePrefix("2 of 3 pods were not observed as required, of which 1 can be seen by no agent"))))

	l.SetAgent("one", time.Time{})
	g.Expect(l.Standing(p.UID).Pods).To(Equal(v1alpha1.PodCounts{Matched: 3, Unverified: 3}), "nobody says any more that it is in a sandbox")
	l.SetNode("absent", ledger.KeepNode(ledgertest.WindowsNode("absent")))
	g.Expect(l.Standing(p.UID).Pods.NotApplicable).To(BeEquivalentTo(1))
	l.SetNode("absent", nil)
	g.Expect(l.Standing(p.UID).Pods.NotApplicable).To(BeZero())
}

func TestAPolicyOfPortalsSaysWhyNobodyCanLookIntoASandbox(t *testing.T) {
	g := NewWithT(t)
	s, p := inSandbox(), ledgertest.Demanding("all")
	p.Spec.Isolation, p.Spec.Portals = nil, &v1alpha1.Portals{Privileged: v1alpha1.PortalForbid}
	standing := s.Ledger(ledgertest.Now, p).Standing(p.UID)
	g.Expect(standing.Pods).To(Equal(v1alpha1.PodCounts{Matched: 2, Unverified: 1, NotApplicable: 1, Compliant: 1}))
	g.Expect(standing.Findings).To(ConsistOf(HaveField("Message", "no agent can look at it: runtime class kata gives the pod a kernel of its own")))
}

func TestWhenAnAgentOnANodeWithoutPodsFallsSilentIsWaitedFor(t *testing.T) {
	g := NewWithT(t)
	s := ledgertest.World()
	l := s.Ledger(ledgertest.Now)
	g.Expect(l.Agents().Reporting).To(Equal(1))
	g.Expect(l.Next()).To(BeTemporally("~", s.Agents["one"].Add(2*time.Minute), time.Second))
	l.Advance(l.Next())
	g.Expect(l.Agents().Silent).To(Equal(1))
}
