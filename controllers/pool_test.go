// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// replicaOf is a pod as the API server stores it for a template.
func replicaOf(i int) *corev1.Pod {
	pod := running(fmt.Sprintf("web-%d", i), time.Hour)
	token := fmt.Sprintf("kube-api-access-%05d", i)
	pod.Labels = map[string]string{"app": "web"}
	pod.Spec.NodeName = fmt.Sprintf("node-%d", i)
	pod.Spec.Volumes = []corev1.Volume{{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: token, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	return &pod
}

func TestPodsOfOneTemplateAreKeptOnce(t *testing.T) {
	g := NewWithT(t)
	cache := PodCache()
	a, b, other := replicaOf(1), replicaOf(2), replicaOf(3)
	other.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	other.Labels["app"] = "other"
	for _, pod := range []*corev1.Pod{a, b, other} {
		_, err := cache.Transform(pod)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(unsafe.SliceData(a.Spec.Containers)).To(BeIdenticalTo(unsafe.SliceData(b.Spec.Containers)))
	g.Expect(a.Spec.NodeName).To(Equal("node-1"))
	g.Expect(b.Spec.NodeName).To(Equal("node-2"))
	g.Expect(other.Spec.Containers[0].SecurityContext.Privileged).To(HaveValue(BeTrue()))
	g.Expect(other.Labels).To(HaveKeyWithValue("app", "other"))
	g.Expect(a.Labels).To(HaveKeyWithValue("app", "web"))
	g.Expect(a.Spec.Containers[0].SecurityContext).To(BeNil())
}

func TestAVolumeThatHasTheNameOfATokenIsNotTakenForIt(t *testing.T) {
	g := NewWithT(t)
	pod := replicaOf(1)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
	_, err := PodCache().Transform(pod)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pod.Spec.Containers[0].VolumeMounts[0].Name).To(Equal("kube-api-access-00001"))

	pod = replicaOf(1)
	pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
	_, err = PodCache().Transform(pod)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pod.Spec.Volumes[0].Name).To(Equal("kube-api-access-00001"))
}
