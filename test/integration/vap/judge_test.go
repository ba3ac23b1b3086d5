// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const userNamespace = "hostUsers: false\n"

var _ = Describe("An API server with a compiled policy", func() {
	var w *world
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	It("admits what asks for nothing, and tells all violations of another in one message", func(ctx context.Context) {
		p := w.policy(ctx, everything)
		w.enforce(ctx, p)
		message := eventuallyRefused(ctx, w.pod("bad", `
hostPID: true
initContainers:
- {name: sidecar, restartPolicy: Always, securityContext: {privileged: true}}
containers:
- name: app
  ports: [{containerPort: 81, hostPort: 81}]
  securityContext: {capabilities: {add: [cap_sys_admin]}}
  volumeMounts: [{name: logs, mountPath: /logs}]
volumes:
- {name: logs, hostPath: {path: /var//log/./pods}}
- {name: run, hostPath: {path: /var/run/docker.sock}}`))
		for _, part := range []string{
			`pods "bad" is forbidden: ValidatingAdmissionPolicy 'bulkhead-` + p.Name + "-" + string(p.UID) + "'",
			"this asks for less isolation than policy " + p.Name + " requires: ",
			"pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false",
			"user: spec.hostUsers is <unset> and claims Host, Pod is required: set it to false",
			"cgroup: spec.initContainers[0].securityContext.privileged is true",
			"privileged: spec.initContainers[0].securityContext.privileged is true, which is not allowed",
			"capabilities: spec.containers[0].securityContext.capabilities.add[0] is cap_sys_admin, which is not allowed: remove it; forbidden SYS_ADMIN, SYS_PTRACE",
			`hostPaths: spec.volumes[0].hostPath.path is /var//log/./pods, which is not allowed: set readOnly: true on every mount of volume "logs"`,
			"runtimeSockets: spec.volumes[1].hostPath.path is /var/run/docker.sock",
			"hostPorts: spec.containers[0].ports[0].hostPort is 81, which is not allowed: use a Service instead; allowed 30000-31000, 80",
		} {
			Expect(message).To(ContainSubstring(part))
		}
		Expect(dryRun(ctx, w.pod("good", userNamespace+`
containers:
- name: app
  ports: [{containerPort: 80, hostPort: 80}]
  securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}
  volumeMounts: [{name: logs, mountPath: /logs, readOnly: true}]
volumes: [{name: logs, hostPath: {path: /var/log}}]`))).To(Succeed())
		Expect(dryRun(ctx, w.pod("plain", userNamespace))).To(Succeed())
	})

	It("cuts a message that would be too long, and says so", func(ctx context.Context) {
		w.enforce(ctx, w.policy(ctx, "portals: {privileged: Forbid, devices: Forbid}"))
		var containers []string
		for i := range 80 {
			containers = append(containers, fmt.Sprintf("{name: c%d, securityContext: {privileged: true}}", i))
		}
		message := eventuallyRefused(ctx, w.pod("many", "containers: ["+strings.Join(containers, ", ")+"]"))
		Expect(message).To(ContainSubstring("privileged: spec.containers[0].securityContext.privileged is true"))
		Expect(message).To(MatchRegexp(`; \.\.\. and 1[0-9]{2} more$`))
		Expect(len(message)).To(And(BeNumerically(">", 4000), BeNumerically("<", 5*1024+512)))
	})

	It("says in words why a pod is too large to be judged", func(ctx context.Context) {
		w.enforce(ctx, w.policy(ctx, "isolation: {pid: Pod}\nportals: {privileged: Forbid}"))
		eventuallyRefused(ctx, w.pod("bad", "hostPID: true"))
		containers := make([]string, 501)
		for i := range containers {
			containers[i] = fmt.Sprintf("{name: c%d}", i)
		}
		Expect(dryRun(ctx, w.pod("large", "containers: ["+strings.Join(containers[1:], ",")+"]"))).To(Succeed())
		Expect(dryRun(ctx, w.pod("larger", "containers: ["+strings.Join(containers, ",")+"]"))).To(MatchError(ContainSubstring(isolation.TooLarge)))
	})

	It("refuses debug containers in pods that have what they may not", func(ctx context.Context) {
		pod := w.pod("web", "hostPID: true")
		Expect(cluster.Create(ctx, pod)).To(Succeed())
		w.enforce(ctx, w.policy(ctx, `isolation: {pid: Pod, ipc: Pod}
exemptions: [{name: tools, reason: r, namespaces: [NAMESPACE], isolation: {pid: Host}}]`))
		eventuallyRefused(ctx, w.pod("other", "hostIPC: true"))
		Expect(dryRun(ctx, w.pod("exempt", "hostPID: true"))).To(Succeed())
		Expect(debug(ctx, pod, "{name: d}")).To(
			MatchError(ContainSubstring("pid: spec.hostPID is true and claims Host, Pod is required: " + isolation.RemedyInPod)))
	})

	It("judges debug containers on their own fields, and only those that are added", func(ctx context.Context) {
		pod := w.pod("web", "hostIPC: true\nvolumes: [{name: etc, hostPath: {path: /etc}}]")
		Expect(cluster.Create(ctx, pod)).To(Succeed())
		Expect(debug(ctx, pod, "{name: early, securityContext: {privileged: true}}")).To(Succeed())
		w.enforce(ctx, w.policy(ctx, "isolation: {pid: Container}\nportals: {privileged: Forbid, hostPaths: {}, capabilities: {forbid: [SYS_PTRACE]}}"))
		eventuallyRefused(ctx, w.pod("other", "hostPID: true"))

		for container, refusal := range map[string]string{
			"{name: d, securityContext: {privileged: true}}":                        "privileged: spec.ephemeralContainers[1].securityContext.privileged is true",
			"{name: d, securityContext: {capabilities: {add: [SYS_PTRACE]}}}":       "capabilities: spec.ephemeralContainers[1].securityContext.capabilities.add[0] is SYS_PTRACE",
			"{name: d, targetContainerName: app}":                                   "pid: spec.ephemeralContainers[1].targetContainerName is app and claims Pod, Container is required: debug without --target",
			"{name: d, volumeMounts: [{name: etc, mountPath: /e}]}":                 "hostPaths: spec.volumes[0].hostPath.path is /etc",
			"{name: d, volumeMounts: [{name: etc, mountPath: /e, readOnly: true}]}": "hostPaths: spec.volumes[0].hostPath.path is /etc",
		} {
			err := debug(ctx, pod, container)
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
			Expect(err.Error()).To(ContainSubstring(refusal))
			Expect(err.Error()).NotTo(ContainSubstring("hostIPC"), "the pod itself was judged when it was created")
		}
		Expect(debug(ctx, pod, "{name: good}")).To(Succeed())
		Expect(debug(ctx, pod, "{name: good-as-well}")).To(Succeed())
	})

	It("is not in the way of anything else that happens to a pod", func(ctx context.Context) {
		pod := w.pod("web", "hostPID: true\ncontainers: [{name: app, securityContext: {privileged: true}, resources: {requests: {cpu: 100m}}}]")
		pod.Finalizers = []string{"example.com/hold"}
		Expect(cluster.Create(ctx, pod)).To(Succeed())
		w.enforce(ctx, w.policy(ctx, everything))
		eventuallyRefused(ctx, w.pod("other", "hostPID: true"))

		pod.Labels = map[string]string{"app": "web"}
		Expect(cluster.Update(ctx, pod)).To(Succeed())
		pod.Status.Phase = corev1.PodRunning
		Expect(cluster.Status().Update(ctx, pod)).To(Succeed())
		resize := client.RawPatch("application/strategic-merge-patch+json", []byte(`{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"200m"}}}]}}`))
		Expect(cluster.SubResource("resize").Patch(ctx, pod, resize)).To(Succeed())
		pod.Finalizers = nil
		Expect(cluster.Update(ctx, pod)).To(Succeed())
		Expect(cluster.Delete(ctx, pod)).To(Succeed())
	})

	It("knows the exempt by namespace, service account and the time of creation", func(ctx context.Context) {
		w.enforce(ctx, w.policy(ctx, `
isolation: {pid: Pod, ipc: Pod}
exemptions:
- {name: exporter, reason: r, namespaces: [NAMESPACE], serviceAccounts: [exporter], isolation: {pid: Host}, expires: "2100-01-01T00:00:00Z"}
- {name: plain, reason: r, namespaces: [NAMESPACE], serviceAccounts: [default], isolation: {ipc: Host}}
- {name: over, reason: r, namespaces: [NAMESPACE], isolation: {pid: Host, ipc: Host}, expires: "2020-01-01T00:00:00Z"}
- {name: others, reason: r, namespaces: [elsewhere], isolation: {pid: Host, ipc: Host}}`))
		eventuallyRefused(ctx, w.pod("bad", "{hostPID: true, hostIPC: true}"))
		for spec, admitted := range map[string]bool{
			"{hostPID: true, serviceAccountName: exporter}": true,
			"{hostPID: true, serviceAccount: exporter}":     true, // as the field was called once
			"{hostPID: true}": false,
			"{hostIPC: true}": true,
			"{hostIPC: true, serviceAccountName: default}":                 true,
			"{hostIPC: true, serviceAccountName: exporter}":                false,
			"{hostPID: true, hostIPC: true, serviceAccountName: exporter}": false,
		} {
			err := dryRun(ctx, w.pod("pod", spec))
			if admitted {
				Expect(err).NotTo(HaveOccurred(), spec)
			} else {
				Expect(err).To(MatchError(ContainSubstring("this asks for less isolation")), spec)
			}
		}
	})

	It("warns where the action is Warn, and stays silent where it is Audit", func(ctx context.Context) {
		audit := w.policy(ctx, "isolation: {pid: Pod}\nadmission: {action: Audit, engine: ValidatingAdmissionPolicy}")
		warn := w.policy(ctx, "isolation: {pid: Pod}\nadmission: {action: Warn, engine: ValidatingAdmissionPolicy}")
		w.enforce(ctx, audit)
		w.enforce(ctx, warn)
		Eventually(func(g Gomega) {
			heard.take()
			g.Expect(dryRun(ctx, w.pod("bad", "hostPID: true"))).To(Succeed())
			g.Expect(heard.take()).To(ConsistOf(ContainSubstring("than policy " + warn.Name + " requires: pid: spec.hostPID is true and claims Host")))
		}).Should(Succeed())
	})

	It("admits the mirror of a static pod from its own node only", func(ctx context.Context) {
		w.enforce(ctx, w.policy(ctx, "isolation: {pid: Pod}"))
		eventuallyRefused(ctx, w.pod("bad", "hostPID: true"))
		role := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "nodes-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{Kind: "Group", Name: "system:nodes", APIGroup: rbacv1.GroupName}},
		}
		Expect(cluster.Create(ctx, role)).To(Succeed())
		DeferCleanup(cluster.Delete, role)
		mirror := w.pod("etcd-n1", "{hostPID: true, nodeName: n1}")
		mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		Eventually(func() error { return node("n1").Create(ctx, mirror.DeepCopy(), client.DryRunAll) }).Should(Succeed())
		Expect(node("n2").Create(ctx, mirror.DeepCopy(), client.DryRunAll)).To(MatchError(ContainSubstring("pid: spec.hostPID is true")))
		Expect(dryRun(ctx, mirror)).To(MatchError(ContainSubstring("pid: spec.hostPID is true")))
	})
})

// node is the cluster as a node sees it.
func node(name string) client.Client {
	GinkgoHelper()
	as := rest.CopyConfig(server.Config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + name, Groups: []string{"system:nodes", "system:authenticated"}}
	c, err := client.New(as, client.Options{Scheme: server.Client.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}
