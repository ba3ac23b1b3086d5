// SPDX-License-Identifier: Apache-2.0

package podcache_test

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
)

// big is a pod that asks for everything, with much that says nothing about isolation.
func big() *corev1.Pod {
	pod := ledgertest.Running("big", time.Hour)
	noise := strings.Repeat("x", 10_000)
	pod.Annotations = map[string]string{"notes": noise, corev1.MirrorPodAnnotationKey: "abc"}
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: noise}}
	pod.Spec = corev1.PodSpec{
		NodeName: "one", ServiceAccountName: "robot", HostPID: true, HostNetwork: true, HostIPC: true,
		HostUsers: ptr.To(true), ShareProcessNamespace: ptr.To(true),
		Volumes: []corev1.Volume{
			{Name: "root", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}},
			{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: make([]corev1.VolumeProjection, 3)}}},
		},
		Containers: []corev1.Container{{
			Name: "app", Command: []string{noise}, Env: []corev1.EnvVar{{Name: "A", Value: noise}},
			Ports:           []corev1.ContainerPort{{HostPort: 80}},
			SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)},
			VolumeMounts:    []corev1.VolumeMount{{Name: "root", MountPath: "/host"}},
		}},
		EphemeralContainers: []corev1.EphemeralContainer{{
			TargetContainerName: "app",
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: "debug", Args: []string{noise}, SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)},
			},
		}},
	}
	pod.Status.Message = noise
	return &pod
}

// kept is what the cache keeps of a pod.
func kept(t *testing.T, pod *corev1.Pod) *ledger.Pod {
	t.Helper()
	out, err := podcache.Options().Transform(pod)
	if err != nil {
		t.Fatal(err)
	}
	return out.(*ledger.Pod)
}

func TestWhatTheCacheKeepsOfAPodIsJudgedLikeThePod(t *testing.T) {
	g := NewWithT(t)
	p := ledgertest.Demanding("all")
	p.Spec.Isolation = &v1alpha1.Isolation{PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", User: "Pod", Cgroup: "Container"}
	p.Spec.Portals = &v1alpha1.Portals{
		Privileged: v1alpha1.PortalForbid, HostPaths: &v1alpha1.HostPathsPortal{}, HostPorts: &v1alpha1.HostPortsPortal{},
	}
	policy := ledgertest.MustCompile(p)
	whole, stripped := big(), kept(t, big())

	before := policy.Judge(isolation.NewSubject(whole, nil)).Violations
	g.Expect(before).To(HaveLen(len(policy.Judge(stripped.Subject(nil)).Violations)))
	g.Expect(policy.Judge(stripped.Subject(nil)).Violations).To(Equal(before))
	g.Expect(len(before)).To(BeNumerically(">", 8))
	g.Expect(stripped.Spec.Size()).To(BeNumerically("<", 700))
	g.Expect(stripped.Annotations).To(HaveKeyWithValue(corev1.MirrorPodAnnotationKey, "abc"))
}

func TestTheCacheTakesWhatIsNoPodAsItIs(t *testing.T) {
	gone := cache.DeletedFinalStateUnknown{Key: "shop/a"}
	out, err := podcache.Options().Transform(gone)
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(Equal(gone))
}
