// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A benign case is a workload of which nothing must be found: everything that it does is what its spec
// asks for, or below what it has.
type benign struct {
	name string
	// manifest of the pod, of that name.
	manifest func(l *lab, name string) string
	// do is done to the pod once it runs; nil if nothing is.
	do func(l *lab, pod corev1.Pod)
	// unseen is the one finding that there must be, of what cannot be seen of it; empty if there must be none.
	unseen string
}

// spec is a pod with one container; both are YAML.
func spec(pod, container string) func(*lab, string) string {
	return func(l *lab, name string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  %s
  containers:
  - {name: main, image: %q, imagePullPolicy: IfNotPresent%s}
`, name, l.ns, pod, image(), container)
	}
}

const sleeps = ", command: [sleep, 1d]"

// shell is a container that runs a script and then sleeps.
func shell(script string) string {
	return fmt.Sprintf(", command: [sh, -c, %q]", script+"\nsleep 86000")
}

// starts is such a container whose script starts "sleep 85000" or the program's renderer somewhere: it is
// ready only if one of them runs.
func starts(script string) string {
	return shell(script) + `, readinessProbe: {exec: {command: [sh, -c, 'ps -o args | grep -qx "sleep 85000\|/proc/self/exe renderer"']}, periodSeconds: 1}`
}

// tooled is a pod that runs a script with the programs of the node at hand: they are in /node, and the
// libraries that they need where they look for them.
func tooled(pod, container, script string) func(*lab, string) string {
	return spec(pod+`
  volumes: [{name: usr, hostPath: {path: /usr}}, {name: runtime, hostPath: {path: /opt/bulkhead/node}}, {name: lab, hostPath: {path: `+labFolder+`}}, {name: work, emptyDir: {}}]`,
		starts(script)+container+`, volumeMounts: [{name: usr, mountPath: /node, readOnly: true}, {name: usr, subPath: lib, mountPath: /lib, readOnly: true}, {name: usr, subPath: lib64, mountPath: /lib64, readOnly: true},
     {name: runtime, mountPath: /runtime, readOnly: true}, {name: lab, mountPath: /lab, readOnly: true}, {name: work, mountPath: /build}]`)
}

const bubblewrap = "/node/bin/bwrap --unshare-all --unshare-user --ro-bind / / --dev /dev --tmpfs /tmp sleep 85000 &"

// nested runs a container of its own, as a build service does.
const nested = `cd /build && mkdir -p rootfs/bin && cp $(which sleep) rootfs/bin/sleep && /runtime/runc spec &&
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sleep", "85000"/' config.json && /runtime/runc --root /build/state run nested &`

// benigns are the corpus.
var benigns = []benign{
	{name: "asks for nothing", manifest: spec("", sleeps)},
	{name: "has a user namespace", manifest: spec("hostUsers: false", sleeps)},
	{name: "shares its process namespace", manifest: spec("shareProcessNamespace: true", sleeps)},
	{name: "has the node's processes, network and ipc, as it asks", manifest: spec("hostPID: true\n  hostNetwork: true\n  hostIPC: true", sleeps)},
	{name: "is privileged, as it asks", manifest: spec("", sleeps+", securityContext: {privileged: true}")},
	{name: "keeps to itself as well as it can", manifest: spec("securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}",
		sleeps+", securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}")},
	{name: "has capabilities, as it asks", manifest: spec("", sleeps+", securityContext: {capabilities: {add: [NET_ADMIN, SYS_PTRACE]}}")},
	{name: "mounts what volumes there are", manifest: spec(
		`volumes: [{name: tmp, emptyDir: {}}, {name: mem, emptyDir: {medium: Memory}}, {name: log, hostPath: {path: /var/log}}, {name: lib, hostPath: {path: /lib}}, {name: info, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]`,
		sleeps+", volumeMounts: [{name: tmp, mountPath: /tmp/x}, {name: tmp, mountPath: /tmp/y, subPath: a}, {name: mem, mountPath: /mem}, {name: log, mountPath: /var/run/log, readOnly: true, mountPropagation: HostToContainer}, {name: lib, mountPath: /node-lib, readOnly: true}, {name: info, mountPath: /info}]")},
	{name: "chroots into a volume of the node", manifest: spec("volumes: [{name: node, hostPath: {path: /}}]",
		", command: [chroot, /node, sleep, 1d], volumeMounts: [{name: node, mountPath: /node, readOnly: true}]"),
		unseen: "Unverified mounts: its first process is in a chroot: what is mounted outside of it is not seen"},
	{name: "makes namespaces for itself", manifest: spec("", starts("unshare -m -u -i -n -p -f sleep 85000 & unshare -n sleep 86000 &")+", securityContext: {privileged: true}")},
	{name: "makes a user namespace and others in it", manifest: spec("hostUsers: false", starts("unshare -U -r -m -n sleep 85000 &")+", securityContext: {capabilities: {add: [SYS_ADMIN]}}")},
	{name: "makes a user namespace as anybody may", manifest: spec("securityContext: {runAsUser: 65532}", starts("unshare -U -r sleep 85000 &"))},
	{name: "runs bubblewrap", manifest: tooled("securityContext: {runAsUser: 65532}", "", bubblewrap)},
	{name: "runs bubblewrap in its user namespace", manifest: tooled("hostUsers: false", "", bubblewrap)},
	{name: "runs a container with runc", manifest: tooled("", ", securityContext: {privileged: true}", nested)},
	{name: "runs a browser's sandbox", manifest: tooled("securityContext: {runAsUser: 65532}", "", "/lab/escapes zygote &")},
	{name: "runs a browser's sandbox in its user namespace", manifest: tooled("hostUsers: false", "", "/lab/escapes zygote &")},
	{name: "is probed every second", manifest: spec("", sleeps+", livenessProbe: {exec: {command: ['true']}, periodSeconds: 1}, readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}")},
	{name: "starts processes all the time", manifest: spec("", shell("while true; do sleep 0.1; done"))},
	{name: "restarts all the time", manifest: spec("", ", command: [sleep, '3']")},
	{name: "has a sidecar and an init container", manifest: func(l *lab, name string) string {
		return strings.Replace(pod(l.ns, name, ""), "  containers:", fmt.Sprintf("  initContainers:\n  - {name: side, image: %[1]q, imagePullPolicy: IfNotPresent, command: [sleep, 1d], restartPolicy: Always}\n  - {name: first, image: %[1]q, imagePullPolicy: IfNotPresent, command: ['true']}\n  containers:", image()), 1)
	}},
	{name: "is debugged with a target", manifest: spec("", sleeps), do: func(l *lab, p corev1.Pod) {
		l.mustKubectl("-n", p.Namespace, "debug", p.Name, "--image="+image(), "--image-pull-policy=IfNotPresent", "--target=main", "--attach=false", "--profile=general", "--", "sleep", "1d")
	}},
	{name: "has commands run in it", manifest: spec("", sleeps), do: func(l *lab, p corev1.Pod) {
		for range 20 {
			l.mustKubectl("-n", p.Namespace, "exec", p.Name, "--", "true")
		}
	}},
}

var _ = Describe("The corpus of benign workloads", Label("escapes", "node"), Ordered, func() {
	It("is silent, every case of it", func() {
		l := newLab(k)
		node := l.nodes()[len(l.nodes())-1]
		all, stop := l.listen(node)
		pods := make([]corev1.Pod, len(benigns))
		for i := range benigns {
			l.mustApply(on(node, benigns[i].manifest(l, fmt.Sprintf("case-%d", i))))
		}
		for i := range benigns {
			pods[i] = l.running(l.ns, fmt.Sprintf("case-%d", i))
		}
		crowd, took := l.crowd(node)
		l.jobs(node)
		for i := range benigns {
			if benigns[i].do != nil {
				benigns[i].do(l, pods[i])
			}
		}
		time.Sleep(130 * time.Second) // two close looks at each container
		stop()
		var rows []row
		for i := range benigns {
			found := all[pods[i].UID]
			delete(all, pods[i].UID)
			want := []string{}
			if benigns[i].unseen != "" {
				want = append(want, benigns[i].unseen)
			}
			rows = append(rows, row{name: benigns[i].name, expected: cmp.Or(benigns[i].unseen, "nothing"), found: strings.Join(found, ", "), ok: slices.Equal(found, want)})
		}
		var found, others []string
		for uid, texts := range all {
			if slices.Contains(crowd, uid) {
				found = append(found, texts...)
			} else {
				others = append(others, texts...)
			}
		}
		started := silent(fmt.Sprintf("%d containers that start at once", crowdPods*crowdEach), found)
		started.took = took
		rows = append(rows, started, silent(fmt.Sprintf("%d jobs that last 0.1 s, and all else on the node", jobs), others))
		tellAndExpect("WORKLOAD", rows)
	})
})

// How many containers start at once, by pods, and how many jobs there are.
const (
	crowdPods, crowdEach = 40, 5
	jobs                 = 60
)

// crowd starts many containers at once, and tells how long it took until all of them ran.
func (l *lab) crowd(node string) (uids []types.UID, took time.Duration) {
	GinkgoHelper()
	var manifests strings.Builder
	for i := range crowdPods {
		_, one, _ := strings.Cut(pod("", "", ""), "  containers:\n")
		more := ""
		for j := range crowdEach - 1 {
			more += strings.Replace(one, "name: main", fmt.Sprintf("name: more-%d", j), 1)
		}
		manifests.WriteString("---\n" + on(node, pod(l.ns, fmt.Sprintf("crowd-%d, labels: {app: crowd}", i), "")) + more)
	}
	since := time.Now()
	l.mustApply(manifests.String())
	l.await("condition=Ready", "pods", "-l", "app=crowd")
	took = time.Since(since)
	var pods corev1.PodList
	Expect(l.get(&pods, "pods", "-n", l.ns, "-l", "app=crowd")).To(Succeed())
	running := 0
	for _, p := range pods.Items {
		uids = append(uids, p.UID)
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Running != nil {
				running++
			}
		}
	}
	Expect(running).To(Equal(crowdPods * crowdEach))
	return uids, took
}

// jobs runs jobs that are over in no time.
func (l *lab) jobs(node string) {
	GinkgoHelper()
	l.mustApply(fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: brief, namespace: %s}
spec:
  completions: %d
  parallelism: 10
  template:
    spec:
      nodeName: %s
      restartPolicy: Never
      containers: [{name: main, image: %q, imagePullPolicy: IfNotPresent, command: [sleep, '0.1']}]
`, l.ns, jobs, node, image()))
	l.await("condition=Complete", "job/brief")
}

// await waits for as long as a slow machine takes: how quick it is, is not what is asked here.
func (l *lab) await(condition string, what ...string) {
	GinkgoHelper()
	Eventually(func() error {
		out, err := l.kubectl("", append([]string{"-n", l.ns, "wait", "--timeout=60s", "--for=" + condition}, what...)...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}).WithTimeout(10 * time.Minute).Should(Succeed())
}
