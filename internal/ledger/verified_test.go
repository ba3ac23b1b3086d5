// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// besides is a scene of a pod that is well and another one, on a node without an agent.
func besides(other corev1.Pod) ledgertest.Scene {
	s := ledgertest.World()
	other.Spec.NodeName = "unwatched"
	s.Pods = []corev1.Pod{ledgertest.Running("well", 24*time.Hour), other}
	s.Reports["one"] = ledgertest.Report("one", ledgertest.Group(ledgertest.Isolated, "well"))
	return s
}

func TestAnInitContainerThatDoesNotEndIsNotVerifiedForWantOfAPhase(t *testing.T) {
	g := NewWithT(t)
	pod, p := ledgertest.Running("starting", time.Hour), ledgertest.Demanding("all")
	pod.Status.Phase = corev1.PodPending
	pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses = pod.Status.ContainerStatuses, nil
	s := besides(pod)
	g.Expect(s.Ledger(ledgertest.Now, p).Standing(p.UID).Verified).To(SatisfyAll(
		HaveField("Status", metav1.ConditionFalse), HaveField("Message", ContainSubstring("shop/starting"))))

	s.Pods[1].Status.InitContainerStatuses = nil
	g.Expect(s.Ledger(ledgertest.Now, p).Standing(p.UID).Verified.Status).To(Equal(metav1.ConditionTrue), "there is nothing to see where nothing runs")
}

func TestAPodIsNoLongerYoungThanAMinuteWhateverItsNodesClockSays(t *testing.T) {
	g := NewWithT(t)
	p := ledgertest.Demanding("all")
	s := besides(ledgertest.Running("ahead", -24*time.Hour))
	l := s.Ledger(ledgertest.Now, p)
	verified := func() metav1.ConditionStatus { return l.Standing(p.UID).Verified.Status }
	g.Expect(verified()).To(Equal(metav1.ConditionTrue), "it was not there a moment ago")

	l.Advance(ledgertest.Now.Add(40 * time.Second))
	pod := s.Pods[1].DeepCopy()
	pod.Labels = map[string]string{"touched": "again"}
	l.SetPod(ledger.Keep(pod))
	g.Expect(verified()).To(Equal(metav1.ConditionTrue))
	l.Advance(ledgertest.Now.Add(time.Minute))
	g.Expect(verified()).To(Equal(metav1.ConditionFalse), "a change does not make it young again")
}
