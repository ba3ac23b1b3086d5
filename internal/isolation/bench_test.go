// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// BenchmarkJudge judges one pod that passes by ten policies: what the webhook computes for most
// pods of a cluster.
func BenchmarkJudge(b *testing.B) {
	subject := isolation.NewSubject(servingPod(), map[string]string{"tenancy": "shared", "kubernetes.io/metadata.name": "shop"})
	policies := tenPolicies(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range policies {
			if j := p.Judge(subject); len(j.Violations) != 0 || !j.Matched {
				b.Fatal(j.Summary())
			}
		}
	}
}

// servingPod is a pod as deployments have it: two containers, one init container, six volumes.
func servingPod() *corev1.Pod {
	no, yes := false, true
	secured := &corev1.SecurityContext{Privileged: &no, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}}}
	mounts := []corev1.VolumeMount{
		{Name: "config", MountPath: "/etc/app", ReadOnly: true}, {Name: "tls", MountPath: "/tls", ReadOnly: true},
		{Name: "data", MountPath: "/data"}, {Name: "tmp", MountPath: "/tmp"}, {Name: "logs", MountPath: "/logs", ReadOnly: true},
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart-7d4b9", Labels: map[string]string{"app": "cart", "team": "shop"},
			CreationTimestamp: metav1.NewTime(noon),
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "cart", HostUsers: &no,
			InitContainers: []corev1.Container{{Name: "migrate", SecurityContext: secured, VolumeMounts: mounts}},
			Containers: []corev1.Container{
				{Name: "app", SecurityContext: secured, VolumeMounts: mounts, Ports: []corev1.ContainerPort{{ContainerPort: 8080}, {ContainerPort: 9090}}},
				{Name: "proxy", SecurityContext: secured, VolumeMounts: mounts, Ports: []corev1.ContainerPort{{ContainerPort: 15001}}},
			},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
				{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}},
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}},
				{Name: "logs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log/app"}}},
			},
		},
	}
}

// tenPolicies all match the pod, and demand everything that can be demanded.
func tenPolicies(tb testing.TB) []*isolation.Policy {
	policies := make([]*isolation.Policy, 10)
	for i := range policies {
		policies[i] = compiled(tb, &v1alpha1.IsolationPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("tenants-%d", i)},
			Spec: v1alpha1.IsolationPolicySpec{
				Match:     &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}},
				Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Pod", Cgroup: "Container"},
				Portals: &v1alpha1.Portals{
					Privileged: v1alpha1.PortalForbid, ProcMount: v1alpha1.PortalForbid, MountPropagation: v1alpha1.PortalForbid,
					Devices: v1alpha1.PortalForbid, RuntimeSockets: v1alpha1.PortalForbid, WindowsHostProcess: v1alpha1.PortalForbid,
					HostProbes: v1alpha1.PortalForbid, Capabilities: &v1alpha1.CapabilitiesPortal{Forbid: []v1alpha1.Capability{"SYS_ADMIN", "BPF"}},
					HostPaths: &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/var/log", ReadOnly: true}}},
					HostPorts: &v1alpha1.HostPortsPortal{},
				},
				Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny},
				Exemptions: []v1alpha1.Exemption{{
					Name: "node-exporter", Reason: "reads host metrics", Namespaces: []string{"monitoring"},
					Isolation: &v1alpha1.Isolation{PID: "Host"},
				}},
			},
		})
	}
	return policies
}

// BenchmarkObserve takes a look into account of 110 pods with two containers of ten processes,
// in which nothing has changed: what the agent computes at most looks of a full node.
func BenchmarkObserve(b *testing.B) {
	w := newWorld(b)
	for i := range 110 {
		p := w.pod(fmt.Sprintf("pod-%d", i))
		for _, name := range []string{"app", "proxy"} {
			c := p.run(name)
			for range 9 {
				c.first().fork()
			}
		}
	}
	w.confirmed()
	look := w.look(false)
	b.ReportAllocs()
	for b.Loop() {
		if o, err := w.tracker.Observe(look); err != nil || len(o.Findings) > 0 {
			b.Fatal(err, o.Findings)
		}
	}
}
