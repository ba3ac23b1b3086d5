// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
)

// withoutPaths has a policy allow no host path.
func withoutPaths(p *v1alpha1.IsolationPolicy) {
	p.Spec.Portals = &v1alpha1.Portals{HostPaths: &v1alpha1.HostPathsPortal{}}
}

// claiming has a pod's container mount a claim.
func claiming(claim string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	}
}

// aVolume is a PersistentVolume that is not bound yet.
func aVolume(ctx context.Context, source corev1.PersistentVolumeSource) *corev1.PersistentVolume {
	GinkgoHelper()
	return create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pv-%d", time.Now().UnixNano())},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: source, StorageClassName: "by-hand",
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpExists}},
			}}}},
		},
	})
}

// becomes plays the controller of volumes: it binds one to a claim, and releases it.
func becomes(ctx context.Context, pv *corev1.PersistentVolume, phase corev1.PersistentVolumePhase, namespace, claim string) {
	GinkgoHelper()
	if pv.Spec.ClaimRef == nil {
		pv.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: namespace, Name: claim, UID: types.UID("uid-of-" + claim)}
		Expect(cluster.Update(ctx, pv)).To(Succeed())
	}
	pv.Status.Phase = phase
	Expect(cluster.Status().Update(ctx, pv)).To(Succeed())
}

var _ = Describe("PersistentVolumes that show a part of their node", func() {
	compliant, violating := v1alpha1.PodCounts{Matched: 1, Compliant: 1}, v1alpha1.PodCounts{Matched: 1, Violating: 1}

	It("have the pods of their claims violate the portal, also when they are released under them, told once, also across a restart", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		p := aPolicy(ctx, namespace, withoutPaths)
		pod := running(ctx, namespace, "web", a.node, time.Hour, claiming("data"))
		a.sees(ctx, at(isolated, pod))
		pv := aVolume(ctx, corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/srv"}})
		stop := start()
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(compliant))

		becomes(ctx, pv, corev1.VolumeBound, namespace, "data")
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(counts(violating), HaveField("Findings", ConsistOf(SatisfyAll(
			HaveField("Kind", v1alpha1.Violation), HaveField("Portal", "hostPaths"), HaveField("UID", pod.UID),
			HaveField("Message", HavePrefix("spec.volumes[0].persistentVolumeClaim is local /srv of PersistentVolume "+pv.Name)))))))
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ConsistOf("web Warning Violation 1"))

		stop()
		start()
		Consistently(eventsOn(ctx, namespace)).WithTimeout(while).Should(ConsistOf("web Warning Violation 1"))
		becomes(ctx, pv, corev1.VolumeReleased, namespace, "data")
		Expect(pv.Status.LastPhaseTransitionTime).NotTo(BeNil())
		Consistently(statusOf(ctx, p)).WithTimeout(while).Should(counts(violating), "the pod is older, and has it mounted")
		becomes(ctx, pv, corev1.VolumeAvailable, namespace, "data")
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(compliant), "the administrator made it free")
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ConsistOf("web Warning Violation 1", "web Normal IsolationRestored 1"))
	})

	It("are allowed where the policy allows their path", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		p := aPolicy(ctx, namespace, withoutPaths, func(p *v1alpha1.IsolationPolicy) {
			p.Spec.Portals.HostPaths.Allow = []v1alpha1.AllowedHostPath{{PathPrefix: "/srv/volumes"}}
		})
		inside := running(ctx, namespace, "inside", a.node, time.Hour, claiming("inside"))
		outside := running(ctx, namespace, "outside", a.node, time.Hour, claiming("outside"))
		a.sees(ctx, at(isolated, inside, outside))
		for claim, path := range map[string]string{"inside": "/srv/volumes/1", "outside": "/srv"} {
			becomes(ctx, aVolume(ctx, corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}), corev1.VolumeBound, namespace, claim)
		}
		start()
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 2, Violating: 1, Compliant: 1}), HaveField("Findings", ConsistOf(HaveField("Pod", "outside")))))
	})

	It("leave pods with claims unverified and all else judged while they may not be read", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		p := aPolicy(ctx, namespace, withoutPaths)
		pod := running(ctx, namespace, "web", a.node, time.Hour, claiming("data"))
		without := running(ctx, namespace, "without", a.node, time.Hour)
		a.sees(ctx, at(isolated, pod, without))
		becomes(ctx, aVolume(ctx, corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/srv"}}), corev1.VolumeBound, namespace, "data")

		Expect(server.Install(ctx, "rbac/manager")).To(Succeed())
		granted := &rbacv1.ClusterRole{}
		Expect(cluster.Get(ctx, client.ObjectKey{Name: "bulkhead-manager"}, granted)).To(Succeed())
		mayReadVolumes := func(ctx context.Context, may bool) {
			GinkgoHelper()
			role := &rbacv1.ClusterRole{}
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(granted), role)).To(Succeed())
			role.Rules = granted.DeepCopy().Rules
			for i := range role.Rules {
				if r := &role.Rules[i]; !may {
					r.Resources = slices.DeleteFunc(r.Resources, func(r string) bool { return r == "persistentvolumes" })
				}
			}
			Expect(cluster.Update(ctx, role)).To(Succeed())
		}
		// For the other specs; as it was, so that it can be applied again.
		DeferCleanup(mayReadVolumes, true)
		mayReadVolumes(ctx, false)
		startWith(server.AsManager(), controllers.Options{}, nil)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 2, Unverified: 1, Compliant: 1}),
			HaveField("Findings", ConsistOf(SatisfyAll(HaveField("Kind", v1alpha1.Unverified), HaveField("Pod", "web"),
				HaveField("Message", SatisfyAll(ContainSubstring(`whether its claim "data" leads to the node`), ContainSubstring("forbidden"))))))))
		mayReadVolumes(ctx, true)
		Eventually(statusOf(ctx, p)).WithTimeout(2 * soon).Should(counts(v1alpha1.PodCounts{Matched: 2, Violating: 1, Compliant: 1}))
	})
})
