// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func TestEveryPodIsCountedInOneClass(t *testing.T) {
	g := NewWithT(t)
	in := world()
	compliant, breached, unseen := running("compliant", time.Hour), running("breached", time.Hour), running("unseen", time.Hour)
	violating, exempt := running("violating", time.Hour), running("exempt", time.Hour)
	violating.Spec.HostPID, exempt.Spec.HostPID = true, true
	exempt.Namespace = "lab"
	in.Pods = []corev1.Pod{compliant, breached, unseen, violating, exempt}
	in.Reports["one"] = report("one", group(isolated, "compliant", "violating"), group(onHostPID(), "breached", "exempt"))
	p := demanding("all")
	p.Spec.Exemptions = []v1alpha1.Exemption{{
		Name: "lab", Reason: "looks", Namespaces: []string{"lab"}, Isolation: &v1alpha1.Isolation{PID: "Host"},
	}}

	status := judgeOne(in, p).status
	g.Expect(status.Pods).To(Equal(v1alpha1.PodCounts{
		Matched: 5, Exempt: 1, Breached: 1, Violating: 1, Unverified: 1, Compliant: 1,
	}))
	g.Expect(status.Nodes).To(Equal(v1alpha1.NodeCounts{Reporting: 1}))
	g.Expect(status.ObservedGeneration).To(BeEquivalentTo(1))
}

func TestPodsThatEndedDoNotCountAndThoseThatAreBeingDeletedDo(t *testing.T) {
	g := NewWithT(t)
	in := world()
	done, failed, going := running("done", time.Hour), running("failed", time.Hour), running("going", time.Hour)
	done.Status.Phase, failed.Status.Phase = corev1.PodSucceeded, corev1.PodFailed
	going.DeletionTimestamp = &metav1.Time{Time: now}
	in.Pods = []corev1.Pod{done, failed, going}
	g.Expect(judgeOne(in, demanding("all")).status.Pods.Matched).To(BeEquivalentTo(1))
}

func TestAPodOfANamespaceThatIsNotKnownIsMatched(t *testing.T) {
	g := NewWithT(t)
	in := world()
	pod := running("new", 0)
	pod.Namespace = "a-moment-old"
	in.Pods = []corev1.Pod{pod}
	p := demanding("shared")
	p.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}}
	g.Expect(judgeOne(in, p).status.Pods.Matched).To(BeEquivalentTo(1))
	in.Namespaces["a-moment-old"] = nil
	g.Expect(judgeOne(in, p).status.Pods.Matched).To(BeZero())
}

func TestFindingsAreBoundedWorstFirstAndTheirTotalIsTrue(t *testing.T) {
	g := NewWithT(t)
	in := world()
	for i := range 80 {
		in.Pods = append(in.Pods, running(fmt.Sprintf("pod-%02d", 80-i), time.Hour))
	}
	in.Reports["one"] = report("one", group(onHostPID(), "pod-70", "pod-05"))

	status := judgeOne(in, demanding("all")).status
	g.Expect(status.Findings).To(HaveLen(v1alpha1.MaxPolicyFindings))
	g.Expect(status.FindingsTotal).To(BeEquivalentTo(80))
	g.Expect(status.Findings[0]).To(SatisfyAll(
		HaveField("Kind", v1alpha1.Breach), HaveField("Pod", "pod-05"), HaveField("Namespace", "shop"),
		HaveField("UID", types.UID("uid-pod-05")), HaveField("Node", "one"), HaveField("Axis", v1alpha1.Axis("pid"))))
	g.Expect(status.Findings[1].Pod).To(Equal("pod-70"))
	g.Expect(status.Findings[2]).To(SatisfyAll(HaveField("Kind", v1alpha1.Unverified), HaveField("Pod", "pod-01")))
}

func TestTheOrderOfPodsInTheCacheChangesNothing(t *testing.T) {
	g := NewWithT(t)
	in := world()
	in.Pods = []corev1.Pod{running("a", time.Hour), running("b", time.Hour), running("c", time.Second)}
	one := judgeOne(in, demanding("all")).status
	in.Pods = []corev1.Pod{in.Pods[2], in.Pods[1], in.Pods[0]}
	g.Expect(judgeOne(in, demanding("all")).status).To(Equal(one))
}

func TestAPolicyThatIsNotValidIsNotAcceptedAndJudgesNobody(t *testing.T) {
	g := NewWithT(t)
	in := world()
	in.Pods = []corev1.Pod{running("a", time.Hour)}
	p := demanding("broken")
	p.Spec.Isolation.PID = "Sometimes"
	status := judgeOne(in, p).status
	for condition, want := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionAccepted: metav1.ConditionFalse,
		v1alpha1.ConditionEnforced: metav1.ConditionFalse,
		v1alpha1.ConditionVerified: metav1.ConditionUnknown,
	} {
		c := meta.FindStatusCondition(status.Conditions, condition)
		g.Expect(c).To(HaveField("Status", want), condition)
		g.Expect(c).To(HaveField("Reason", v1alpha1.ReasonInvalid), condition)
	}
	g.Expect(meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAccepted).Message).To(ContainSubstring("Sometimes"))
	g.Expect(status.Pods).To(BeZero())
}

func TestAConditionKeepsItsTimeWhileItsStatusIsTheSame(t *testing.T) {
	g := NewWithT(t)
	in := world()
	p := demanding("all")
	p.Status = judgeOne(in, p).status
	in.Now = now.Add(time.Hour)
	again := judgeOne(in, p).status
	g.Expect(again).To(Equal(p.Status))
}

func TestTimePassesByItselfUntilTheNextMomentThatMatters(t *testing.T) {
	g := NewWithT(t)
	in := world()
	in.Policies = []v1alpha1.IsolationPolicy{demanding("all")}
	in.Agents["unused"] = now.Add(-119 * time.Second)
	one := in.Reports["one"]
	delete(in.Reports, "one")
	g.Expect(in.judge().next).To(BeZero(), "without a report an agent cannot become more absent")

	in.Reports["one"] = one
	g.Expect(in.judge().next).To(BeTemporally("~", now.Add(110*time.Second), time.Second), "the node is counted, though nothing runs there")
	in.Pods = []corev1.Pod{running("old", time.Hour)}
	g.Expect(in.judge().next).To(BeTemporally("~", now.Add(110*time.Second), time.Second), "the agent's Lease runs out")

	in.Replicas["manager"] = replica{Renewed: now.Add(-5 * time.Second)}
	g.Expect(in.judge().next).To(BeTemporally("~", now.Add(25*time.Second), time.Second), "a replica's Lease runs out")

	in.Pods = append(in.Pods, running("young", 50*time.Second))
	g.Expect(in.judge().next).To(BeTemporally("==", now.Add(10*time.Second)), "a pod completes its first minute")

	in.Now = in.judge().next
	g.Expect(in.judge().next).To(BeTemporally(">", in.Now), "at that moment it is not the next any more")
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
