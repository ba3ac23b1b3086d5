// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestSinceWhenAPodRuns(t *testing.T) {
	at := func(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago)) }
	started := func(ago time.Duration) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(ago)}}}
	}
	restarted := started(time.Second)
	restarted.RestartCount = 1
	initialized := []corev1.PodCondition{{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at(30 * time.Minute)}}
	for name, test := range map[string]struct {
		status corev1.PodStatus
		ago    time.Duration
	}{
		"since the last of its containers started": {
			corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{started(10 * time.Minute), started(5 * time.Minute)}}, 5 * time.Minute,
		},
		"since it was initialized, if a container was started again": {
			corev1.PodStatus{Conditions: initialized, ContainerStatuses: []corev1.ContainerStatus{restarted}}, 30 * time.Minute,
		},
		"no later because one of its containers was started again": {
			corev1.PodStatus{Conditions: initialized, ContainerStatuses: []corev1.ContainerStatus{started(20 * time.Minute), restarted}}, 20 * time.Minute,
		},
		"since the kubelet took it, if nothing is told of containers": {corev1.PodStatus{}, 40 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := corev1.Pod{}
			began := at(40 * time.Minute)
			pod.Status, pod.Status.Phase, pod.Status.StartTime = test.status, corev1.PodRunning, &began
			since, ok := runningSince(&pod)
			g.Expect(ok).To(BeTrue())
			g.Expect(since).To(BeTemporally("==", now.Add(-test.ago)))
			g.Expect(Keep(&pod)).To(SatisfyAll(HaveField("Since", BeTemporally("==", since)), HaveField("Running()", true)))
		})
	}
}

func TestAPodWhoseContainersAreNotAllStarted(t *testing.T) {
	began := metav1.NewTime(now.Add(-40 * time.Minute))
	runs := func(ago time.Duration, restarts int32) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{
			{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}},
			{RestartCount: restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-ago))}}},
		}
	}
	ended := []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: metav1.NewTime(now.Add(-time.Hour / 2))}}}}
	for name, test := range map[string]struct {
		status corev1.PodStatus
		runs   bool
		ago    time.Duration
	}{
		"does not run if none is":                                      {corev1.PodStatus{}, false, 0},
		"does not run if they wait":                                    {corev1.PodStatus{ContainerStatuses: runs(0, 0)[:1]}, false, 0},
		"runs since an init container does":                            {corev1.PodStatus{InitContainerStatuses: runs(time.Hour/2, 0)}, true, time.Hour / 2},
		"runs since another container does":                            {corev1.PodStatus{ContainerStatuses: runs(time.Minute, 0)}, true, time.Minute},
		"runs since a debug container does":                            {corev1.PodStatus{EphemeralContainerStatuses: runs(time.Minute, 0)}, true, time.Minute},
		"runs since the first of them does":                            {corev1.PodStatus{InitContainerStatuses: runs(time.Hour/2, 0), ContainerStatuses: runs(time.Minute, 0)}, true, time.Hour / 2},
		"runs since the first was started, though that has ended":      {corev1.PodStatus{InitContainerStatuses: append(ended, runs(time.Second, 0)...)}, true, time.Hour / 2},
		"does not run if all that were started have ended":             {corev1.PodStatus{InitContainerStatuses: ended}, false, 0},
		"runs since the kubelet took it if the container keeps ending": {corev1.PodStatus{InitContainerStatuses: runs(time.Second, 3)}, true, 40 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := corev1.Pod{Status: test.status}
			pod.Status.Phase, pod.Status.StartTime = corev1.PodPending, &began
			since, ok := runningSince(&pod)
			g.Expect(ok).To(Equal(test.runs))
			if ok {
				g.Expect(since).To(BeTemporally("==", now.Add(-test.ago)))
			}
			g.Expect(Keep(&pod).Running()).To(Equal(test.runs))
		})
	}
}
