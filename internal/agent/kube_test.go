// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

var restConfig = &rest.Config{Host: "https://localhost:1"}

func TestAPodAsTheLookerTakesIt(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	ended := func(id string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: id}}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: uid, Namespace: "shop", Name: "web", Annotations: map[string]string{
			corev1.MirrorPodAnnotationKey: static, "kubernetes.io/config.hash": static,
		}},
		Spec: corev1.PodSpec{
			HostNetwork:    true,
			InitContainers: []corev1.Container{{Name: "init"}},
			Containers:     []corev1.Container{{Name: "app"}, {Name: "waiting"}},
		},
		Status: corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "init", ContainerID: "containerd://i", State: ended("containerd://i")}},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "app", ContainerID: "cri-o://b", State: running, LastTerminationState: ended("cri-o://a")},
				{Name: "waiting"},
			},
		},
	}
	got := PodOf(pod)
	same(t, got.ConfigHash, static)
	var ids []string
	for _, c := range got.Containers {
		id := c.Name + " " + c.ID
		if c.Running {
			id += " running"
		}
		ids = append(ids, id)
		same(t, c.Claim[isolation.Network], isolation.Host)
		same(t, c.Claim[isolation.PID], isolation.Container)
	}
	same(t, ids, []string{"init i", "app b running", "app a"})

	t.Run("of which containers are yet to run", func(t *testing.T) {
		same(t, got.Starting, true)
		statuses := &pod.Status.ContainerStatuses
		(*statuses)[1].State = running
		same(t, PodOf(pod).Starting, false)
		(*statuses)[1].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
		same(t, PodOf(pod).Starting, true)
		*statuses = (*statuses)[:1]
		same(t, PodOf(pod).Starting, true)
	})
	t.Run("that is no mirror cannot say that it is a static pod", func(t *testing.T) {
		delete(pod.Annotations, corev1.MirrorPodAnnotationKey)
		same(t, PodOf(pod).ConfigHash, "")
	})
}

func TestOnlyContainersThatChangeAreNews(t *testing.T) {
	d := &kubeDirectory{changed: make(chan struct{}, 1)}
	d.notify()
	d.notify()
	same(t, len(d.changed), 1)

	pod := func(id string, ready bool) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", ContainerID: id, Ready: ready}}}}
	}
	same(t, containerStates(pod("a", true)), containerStates(pod("a", false)))
	if a, b := containerStates(pod("a", true)), containerStates(pod("b", true)); a[0] == b[0] {
		t.Error("another container is no news")
	}
}
