// SPDX-License-Identifier: Apache-2.0

package podcache_test

import (
	"reflect"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/randfill"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// demandingEverything forbids every portal and demands every axis.
func demandingEverything() v1alpha1.IsolationPolicy {
	p := ledgertest.Demanding("everything")
	p.Spec.Isolation = &v1alpha1.Isolation{
		PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Pod", Cgroup: "Container",
	}
	p.Spec.Portals = &v1alpha1.Portals{
		Privileged: v1alpha1.PortalForbid, ProcMount: v1alpha1.PortalForbid, MountPropagation: v1alpha1.PortalForbid,
		Devices: v1alpha1.PortalForbid, RuntimeSockets: v1alpha1.PortalForbid, WindowsHostProcess: v1alpha1.PortalForbid,
		HostProbes: v1alpha1.PortalForbid, HostPaths: &v1alpha1.HostPathsPortal{}, HostPorts: &v1alpha1.HostPortsPortal{},
		Capabilities: &v1alpha1.CapabilitiesPortal{Forbid: []v1alpha1.Capability{"ALL", "SYS_ADMIN", "SYS_PTRACE"}},
	}
	return p
}

// randomPods makes pods with every field filled in at times.
func randomPods(seed int64) *randfill.Filler {
	oneOf := func(r randfill.Continue, values ...string) string { return values[r.Intn(len(values))] }
	return randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 3).MaxDepth(20).Funcs(
		func(q *resource.Quantity, r randfill.Continue) {
			*q = *resource.NewQuantity(r.Int63n(100), resource.DecimalSI)
		},
		func(t *metav1.Time, r randfill.Continue) {
			*t = metav1.NewTime(ledgertest.Now.Add(time.Duration(r.Intn(100)) * time.Second))
		},
		func(f *metav1.FieldsV1, _ randfill.Continue) { *f = metav1.FieldsV1{} },
		func(v *corev1.HostPathVolumeSource, r randfill.Continue) {
			v.Path = oneOf(r, "/", "/dev/kmsg", "/run/containerd/containerd.sock", "/var/log", r.String(8))
			v.Type = ptr.To(corev1.HostPathType(oneOf(r, "", "CharDevice", "Socket")))
		},
		func(v *corev1.Volume, r randfill.Continue) {
			r.FillNoCustom(v)
			v.Name = oneOf(r, "a", "b", "c")
			// Of one kind, as every volume is.
			kinds := reflect.ValueOf(&v.VolumeSource).Elem()
			for kind, i := r.Intn(kinds.NumField()), 0; i < kinds.NumField(); i++ {
				if i != kind {
					kinds.Field(i).SetZero()
				}
			}
		},
		func(m *corev1.VolumeMount, r randfill.Continue) {
			r.FillNoCustom(m)
			m.Name = oneOf(r, "a", "b", "c")
		},
		func(o *corev1.OSName, r randfill.Continue) { *o = corev1.OSName(oneOf(r, "linux", "windows")) },
		func(m *corev1.MountPropagationMode, r randfill.Continue) {
			*m = corev1.MountPropagationMode(oneOf(r, "None", "Bidirectional"))
		},
		func(m *corev1.ProcMountType, r randfill.Continue) {
			*m = corev1.ProcMountType(oneOf(r, "Default", "Unmasked"))
		},
		func(c *corev1.Capability, r randfill.Continue) {
			*c = corev1.Capability(oneOf(r, "ALL", "CAP_SYS_ADMIN", "net_raw"))
		},
	)
}

func TestWhateverAPodAsksForTheCacheKeepsAllThatIsJudged(t *testing.T) {
	g := NewWithT(t)
	fill := randomPods(20261125)
	p := demandingEverything()
	p.Spec.Exemptions = []v1alpha1.Exemption{{
		Name: "e", Reason: "r", Namespaces: []string{"shop"}, ServiceAccounts: []string{"robot"},
		Portals: &v1alpha1.ExemptPortals{HostPaths: &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/var", ReadOnly: true}}}},
	}}
	policy := ledgertest.MustCompile(p)
	subjects, obstacles := make(map[string]bool), make(map[string]bool)
	node, handler := isolation.NodeFactsOf(ledgertest.Node("one")), ptr.To("")
	for range 1000 {
		var whole corev1.Pod
		fill.Fill(&whole)
		whole.Namespace, whole.Spec.ServiceAccountName = "shop", "robot"
		stripped := kept(t, whole.DeepCopy())

		before, after := policy.Judge(isolation.NewSubject(&whole, nil)), policy.Judge(stripped.Subject(nil))
		g.Expect(after.Violations).To(Equal(before.Violations))
		g.Expect(after.Exempt).To(Equal(before.Exempt))
		g.Expect(metav1.GetControllerOf(stripped) == nil).To(Equal(metav1.GetControllerOf(&whole) == nil))
		inTheWay := isolation.UserNamespaceObstacles(&whole.Spec, node, handler)
		g.Expect(unnamed(isolation.UserNamespaceObstacles(stripped.Spec, node, handler))).To(Equal(unnamed(inTheWay)))
		g.Expect(isolation.UserNamespaceReadiness(stripped.Spec, node, handler)).To(Equal(isolation.UserNamespaceReadiness(&whole.Spec, node, handler)))
		g.Expect(stripped.Spec.RuntimeClassName).To(Equal(whole.Spec.RuntimeClassName))
		for _, o := range inTheWay {
			obstacles[o.Reason] = true
		}
		for i := range before.Violations {
			subjects[before.Violations[i].Subject()] = true
		}
	}
	// Mount is claimed by none below what can be demanded, cgroup by privileged containers.
	for _, subject := range []string{"pid", "network", "ipc", "uts", "user", "cgroup", "privileged", "procMount", "mountPropagation",
		"devices", "runtimeSockets", "windowsHostProcess", "hostProbes", "hostPaths", "hostPorts", "capabilities"} {
		g.Expect(subjects).To(HaveKey(subject), "a test that never sees it proves nothing of it")
	}
	for _, reason := range []string{
		isolation.ObstacleHostNetwork, isolation.ObstacleHostPID, isolation.ObstacleHostIPC, isolation.ObstacleVolumeDevice, isolation.ObstacleVolume,
		isolation.ObstacleWindows, isolation.ObstacleUserID, isolation.ObstaclePrivileged, isolation.ObstacleCapability,
	} {
		g.Expect(obstacles).To(HaveKey(reason), "a test that never sees it proves nothing of it")
	}
}

// unnamed are obstacles by where they are.
func unnamed(all []isolation.Obstacle) []string {
	out := []string{}
	for _, o := range all {
		out = append(out, string(o.Kind)+" "+o.Reason+" "+o.Field)
	}
	return out
}

func TestTheCacheKeepsWhoMadeAPod(t *testing.T) {
	g := NewWithT(t)
	pod := ledgertest.Running("a", 0)
	controller := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1", UID: "u", Controller: ptr.To(true)}
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "c"}, controller}
	pod.OwnerReferences[1].BlockOwnerDeletion = ptr.To(true)
	g.Expect(kept(t, &pod).OwnerReferences).To(Equal([]metav1.OwnerReference{controller}))
}
