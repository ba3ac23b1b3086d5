// SPDX-License-Identifier: Apache-2.0

package podcache_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
)

// replicaOf is a pod as the API server stores it for a template.
func replicaOf(i int) *corev1.Pod {
	pod := ledgertest.Running(fmt.Sprintf("web-%d", i), time.Hour)
	token := fmt.Sprintf("kube-api-access-%05d", i)
	pod.Labels = map[string]string{"app": "web"}
	pod.Spec.NodeName = fmt.Sprintf("node-%d", i)
	pod.Spec.Volumes = []corev1.Volume{{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: token, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	return &pod
}

func TestPodsOfOneTemplateAreKeptOnce(t *testing.T) {
	g := NewWithT(t)
	third := replicaOf(3)
	third.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	third.Labels["app"] = "other"
	cache := podcache.Options()
	var all []*ledger.Pod
	for _, pod := range []*corev1.Pod{replicaOf(1), replicaOf(2), third} {
		out, err := cache.Transform(pod)
		g.Expect(err).NotTo(HaveOccurred())
		again, err := cache.Transform(out)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(again).To(BeIdenticalTo(out))
		all = append(all, out.(*ledger.Pod))
	}
	a, b, other := all[0], all[1], all[2]
	g.Expect(a.Spec).To(BeIdenticalTo(b.Spec))
	g.Expect(a.Node).To(Equal("node-1"))
	g.Expect(b.Node).To(Equal("node-2"))
	g.Expect(other.Spec.Containers[0].SecurityContext.Privileged).To(HaveValue(BeTrue()))
	g.Expect(other.Labels).To(HaveKeyWithValue("app", "other"))
	g.Expect(a.Labels).To(HaveKeyWithValue("app", "web"))
	g.Expect(a.Spec.Containers[0].SecurityContext).To(BeNil())
}

func TestAVolumeThatHasTheNameOfATokenIsNotTakenForIt(t *testing.T) {
	g := NewWithT(t)
	const token = "kube-api-access-00001"
	g.Expect(kept(t, replicaOf(1)).Spec.Containers[0].VolumeMounts[0].Name).To(Equal("kube-api-access"))

	pod := replicaOf(1)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
	g.Expect(kept(t, pod).Spec.Containers[0].VolumeMounts[0].Name).To(Equal(token))

	pod = replicaOf(1)
	pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
	g.Expect(kept(t, pod).Spec.Volumes[0].Name).To(Equal(token))
}
