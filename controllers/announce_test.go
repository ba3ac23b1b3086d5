// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// story is a policy over some time: what it told is what each step added.
type story struct {
	*GomegaWithT
	in     *scene
	policy v1alpha1.IsolationPolicy
	kept   memory
}

func newStory(t *testing.T, pods ...corev1.Pod) *story {
	s := &story{NewWithT(t), world(), demanding("all"), nil}
	s.in.Pods = pods
	names := make([]string, len(pods))
	for i := range pods {
		names[i] = pods[i].Name
	}
	s.sees(group(isolated, names...))
	s.step()
	return s
}

func (s *story) sees(groups ...v1alpha1.ObservedGroup) {
	s.in.Reports["one"] = report("one", groups...)
}

// step judges, tells, and keeps the status as the API server would.
func (s *story) step() []string {
	v := judgeOne(s.in, s.policy)
	told := announce(v, s.in.Ledger(s.in.Now, s.policy), s.kept, "")
	s.policy.Status, s.kept = v.status, told.kept
	s.policy.Status.OutOfSight = told.unseen
	return s.read(told)
}

// read is what was told.
func (s *story) read(told *telling) []string {
	out := []string{}
	for _, a := range told.out {
		s.Expect(len(a.note)).To(BeNumerically("<=", maxNote))
		s.Expect(len(a.action)).To(BeNumerically("<=", 128))
		if a.regarding.Kind == "Pod" {
			s.Expect(a.related.Name).To(Equal(s.policy.Name))
			out = append(out, a.regarding.Name+" "+a.kind+" "+a.reason+" "+a.action)
		}
	}
	return out
}

func TestAFindingIsToldOnceWhenItBeginsAndOnceWhenItEnds(t *testing.T) {
	s := newStory(t, running("a", time.Hour), running("b", time.Hour))
	s.Expect(s.step()).To(BeEmpty())

	s.sees(group(onHostPID(), "a"), group(isolated, "b"))
	s.Expect(s.step()).To(ConsistOf("a Warning Breach Judge/pid"))
	s.Expect(s.step()).To(BeEmpty())

	s.sees(group(isolated, "a", "b"))
	s.Expect(s.step()).To(ConsistOf("a Normal IsolationRestored Judge/pid"))
	s.Expect(s.step()).To(BeEmpty())
}

func TestAnotherLeaderTellsNothingAgain(t *testing.T) {
	s := newStory(t, running("a", time.Hour))
	s.sees(group(onHostPID(), "a"))
	s.Expect(s.step()).To(HaveLen(1))
	s.kept = nil // what only the former leader knew
	s.Expect(s.step()).To(BeEmpty())
}

func TestWhatBeganAndEndedBeforeItCouldBeWrittenIsToldAsEnded(t *testing.T) {
	s := newStory(t, running("a", time.Hour))
	s.sees(group(onHostPID(), "a"))
	told := announce(judgeOne(s.in, s.policy), s.in.Ledger(s.in.Now, s.policy), nil, "")
	s.Expect(s.read(told)).To(ConsistOf("a Warning Breach Judge/pid"))
	s.kept = told.unwritten(nil) // somebody else wrote the policy
	s.sees(group(isolated, "a"))
	s.Expect(s.step()).To(ConsistOf("a Normal IsolationRestored Judge/pid"))
	s.Expect(s.step()).To(BeEmpty())
}

func TestABreachThatTurnsOutToBeAnEscapeIsToldAsOneAndHasNotEnded(t *testing.T) {
	s := newStory(t, running("a", time.Hour))
	s.sees(group(onHostPID(), "a"))
	s.Expect(s.step()).To(HaveLen(1))
	s.in.Reports["one"].Status.Findings = []v1alpha1.NodeFinding{{
		Kind: v1alpha1.Escape, Pod: v1alpha1.ObservedPod{UID: "uid-a"}, Axis: "pid", Observed: v1alpha1.LevelHost, Message: "process 7",
	}}
	s.Expect(s.step()).To(ConsistOf("a Warning Escape Judge/pid"))
}

func TestWhatNobodySeesHasNotEndedAndIsNotToldAgainWhenItIsBack(t *testing.T) {
	s := newStory(t, running("a", time.Hour), running("b", time.Hour))
	s.sees(group(onHostPID(), "a", "b"))
	s.Expect(s.step()).To(HaveLen(2))

	alive := s.in.Agents["one"]
	delete(s.in.Agents, "one")
	s.Expect(s.step()).To(BeEmpty(), "a silent agent restores nothing")
	s.Expect(s.policy.Status.OutOfSight).To(HaveExactElements(
		SatisfyAll(HaveField("Pod", "a"), HaveField("Kind", v1alpha1.Breach)), HaveField("Pod", "b")))
	s.kept = nil // what only the former leader knew
	s.Expect(s.step()).To(BeEmpty())

	s.in.Agents["one"] = alive
	s.sees(group(onHostPID(), "a"), group(isolated, "b"))
	s.Expect(s.step()).To(ConsistOf("b Normal IsolationRestored Judge/pid"))
	s.Expect(s.policy.Status.OutOfSight).To(BeEmpty())
}

func TestWhatASpecAsksForIsNotToldAgainOnceNobodySeesIt(t *testing.T) {
	asking := running("a", time.Hour)
	asking.Spec.HostPID = true
	s := newStory(t, running("b", time.Hour))
	s.in.Pods = append(s.in.Pods, asking)
	s.sees(group(onHostPID(), "a"), group(isolated, "b"))
	s.Expect(s.step()).To(ConsistOf("a Warning Breach Judge/pid"))

	alive := s.in.Agents["one"]
	delete(s.in.Agents, "one")
	s.Expect(s.step()).To(BeEmpty(), "it is still wrong there, and what was seen may last")
	s.Expect(s.policy.Status.Findings).To(ContainElement(HaveField("Kind", v1alpha1.Violation)))
	s.Expect(s.policy.Status.OutOfSight).To(ConsistOf(HaveField("Kind", v1alpha1.Breach)))
	s.Expect(s.step()).To(BeEmpty())

	s.in.Agents["one"] = alive
	s.Expect(s.step()).To(BeEmpty())
	s.Expect(s.policy.Status.OutOfSight).To(BeEmpty())
}

func TestNothingIsToldOfPodsThatAreGone(t *testing.T) {
	s := newStory(t, running("a", time.Hour), running("b", time.Hour))
	s.sees(group(onHostPID(), "a", "b"))
	s.Expect(s.step()).To(HaveLen(2))
	s.in.Pods[1].Status.Phase = corev1.PodFailed
	s.in.Pods = s.in.Pods[1:]
	s.Expect(s.step()).To(BeEmpty())
}

func TestNothingIsToldOfPodsThatNobodyHasSeen(t *testing.T) {
	s := newStory(t, running("a", time.Hour))
	s.in.Pods = append(s.in.Pods, running("b", time.Second), running("c", time.Hour))
	s.Expect(s.step()).To(BeEmpty())
}

func TestAPolicyThatNoLongerMindsHasRestoredNothing(t *testing.T) {
	asking := running("a", time.Hour)
	asking.Spec.HostPID = true
	s := newStory(t, asking, running("b", time.Hour))
	s.sees(group(isolated, "a"), group(onHostPID(), "b"))
	s.Expect(s.step()).To(ConsistOf("b Warning Breach Judge/pid"))

	s.policy.Generation++
	s.policy.Spec.Isolation.PID = "Host"
	s.Expect(s.step()).To(ConsistOf("a Normal RequirementLifted Judge/pid", "b Normal RequirementLifted Judge/pid"))
}

func TestAPolicyThatIsNotValidTellsNothingOfPods(t *testing.T) {
	s := newStory(t, running("a", time.Hour))
	s.sees(group(onHostPID(), "a"))
	s.Expect(s.step()).To(HaveLen(1))
	s.policy.Spec.Isolation.PID = "Sometimes"
	s.Expect(s.step()).To(BeEmpty())
}

func TestWhatIsWrongSeveralTimesWithOnePortalIsOneEvent(t *testing.T) {
	yes := true
	pod := running("a", time.Hour)
	for _, name := range []string{"one", "two"} {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name, SecurityContext: &corev1.SecurityContext{Privileged: &yes}})
	}
	s := newStory(t, running("b", time.Hour))
	s.in.Pods = append(s.in.Pods, pod)
	s.sees(group(isolated, "a", "b"))
	s.policy.Spec.Portals = &v1alpha1.Portals{Privileged: v1alpha1.PortalForbid}
	told := announce(judgeOne(s.in, s.policy), s.in.Ledger(s.in.Now, s.policy), nil, "").out
	s.Expect(told).To(HaveLen(1))
	s.Expect(told[0].note).To(SatisfyAll(
		HavePrefix("policy all, privileged: "), ContainSubstring("spec.containers[1]"), ContainSubstring("spec.containers[2]")))
}

func TestNotMoreIsToldAtOnceThanTheStatusLists(t *testing.T) {
	s := newStory(t)
	var names []string
	for i := range 200 {
		name := fmt.Sprintf("%03d", i)
		names = append(names, name)
		s.in.Pods = append(s.in.Pods, running(name, time.Hour))
	}
	s.sees(group(onHostPID(), names...))
	s.Expect(s.step()).To(HaveLen(v1alpha1.MaxPolicyFindings))
	s.Expect(s.step()).To(BeEmpty())

	s.sees(group(isolated, names[0]), group(onHostPID(), names[1:]...))
	s.Expect(s.step()).To(ConsistOf("000 Normal IsolationRestored Judge/pid", "050 Warning Breach Judge/pid"),
		"what moves up into the list is told then")
}

func TestWhatIsPushedOutOfTheListLastsAndItsEndIsTold(t *testing.T) {
	s := newStory(t, running("a", time.Hour), running("b", time.Hour))
	s.sees(group(onHostPID(), "a", "b"))
	s.Expect(s.step()).To(HaveLen(2))

	// As many as the list holds turn out to be worse.
	var names []string
	for i := range v1alpha1.MaxPolicyFindings {
		name := fmt.Sprintf("worse-%03d", i)
		names = append(names, name)
		s.in.Pods = append(s.in.Pods, running(name, time.Hour))
		s.in.Reports["one"].Status.Findings = append(s.in.Reports["one"].Status.Findings, v1alpha1.NodeFinding{
			Kind: v1alpha1.Escape, Pod: v1alpha1.ObservedPod{UID: s.in.Pods[len(s.in.Pods)-1].UID}, Axis: "pid", Observed: v1alpha1.LevelHost, Message: "process 7",
		})
	}
	escapes := s.in.Reports["one"].Status.Findings
	s.sees(group(onHostPID(), append([]string{"a", "b"}, names...)...))
	s.in.Reports["one"].Status.Findings = escapes
	s.Expect(s.step()).To(HaveLen(len(names)), "the escapes begin; what they push out has not ended")
	s.Expect(s.policy.Status.OutOfSight).To(BeEmpty(), "it is seen, and has no place in the list")

	// One of the two ends outside of the list; then there is room again.
	s.sees(group(isolated, "a"), group(onHostPID(), append([]string{"b"}, names...)...))
	s.in.Reports["one"].Status.Findings = escapes
	s.Expect(s.step()).To(ConsistOf("a Normal IsolationRestored Judge/pid"))
	s.sees(group(onHostPID(), "b"), group(isolated, append([]string{"a"}, names...)...))
	s.Expect(s.step()).To(SatisfyAll(HaveLen(len(names)), HaveEach(ContainSubstring("IsolationRestored"))), "what is back in the list has not begun")
	s.Expect(s.kept).To(BeEmpty())
}

func TestWhatIsKeptBesideTheStatusIsBounded(t *testing.T) {
	s := newStory(t)
	const many = 3 * maxMemory
	var names []string
	s.kept = memory{}
	for i := range many {
		pod := running(fmt.Sprintf("%04d", i), time.Hour)
		names = append(names, pod.Name)
		s.in.Pods = append(s.in.Pods, pod)
		f := v1alpha1.PolicyFinding{Kind: v1alpha1.Breach, Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Axis: "pid"}
		s.kept[placeOf(&f)] = f
	}
	s.sees(group(onHostPID(), names...))
	s.Expect(s.step()).To(BeEmpty(), "all of it was told")
	s.Expect(s.kept).To(HaveLen(maxMemory))
	delete(s.in.Agents, "one")
	s.Expect(s.step()).To(BeEmpty())
	s.Expect(s.policy.Status.OutOfSight).To(HaveLen(v1alpha1.MaxPolicyFindings))
	s.Expect(s.kept).To(HaveLen(maxMemory))
}

func TestWhatAPolicyThatIsNotValidHidesIsNotToldAgain(t *testing.T) {
	s := newStory(t, running("a", time.Hour), running("b", time.Hour))
	s.sees(group(onHostPID(), "a", "b"))
	s.Expect(s.step()).To(HaveLen(2))
	valid := s.policy.Spec.Isolation.PID
	s.policy.Spec.Isolation.PID = "Sometimes"
	s.Expect(s.step()).To(BeEmpty())
	s.Expect(s.policy.Status.OutOfSight).To(HaveLen(2))
	s.policy.Spec.Isolation.PID = valid
	s.sees(group(onHostPID(), "a"), group(isolated, "b"))
	s.Expect(s.step()).To(ConsistOf("b Normal IsolationRestored Judge/pid"))
}

func TestConditionsThatTurnAreToldOnThePolicy(t *testing.T) {
	told := func(before, now metav1.ConditionStatus, generation int64) []string {
		p := demanding("all")
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEnforced, Status: before, ObservedGeneration: 1}}
		v := &verdict{policy: &p}
		v.status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEnforced, Status: now, ObservedGeneration: generation, Message: strings.Repeat("é", maxNote)}}
		all := announce(v, world().Ledger(ledgertest.Now, p), nil, "").out
		out := []string{}
		for _, a := range all {
			out = append(out, a.regarding.Kind+" "+a.kind+" "+a.reason)
		}
		return out
	}
	g := NewWithT(t)
	g.Expect(told("Unknown", "True", 1)).To(ConsistOf("IsolationPolicy Normal Enforced"))
	g.Expect(told("True", "True", 1)).To(BeEmpty())
	g.Expect(told("True", "False", 1)).To(ConsistOf("IsolationPolicy Warning NotEnforced"))
	g.Expect(told("True", "False", 2)).To(BeEmpty(), "a new generation takes its time to be served")
}
