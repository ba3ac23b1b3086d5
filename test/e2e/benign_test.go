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
	return fmt.Sprintf(", command: [sh, -c, %q]", script+"; sleep 86000")
}

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
	{name: "makes namespaces for itself", manifest: spec("", shell("unshare -m -u -i -n -p -f sleep 86000 & unshare -n sleep 86000 &")+", securityContext: {privileged: true}")},
	{name: "makes a user namespace and others in it", manifest: spec("hostUsers: false", shell("unshare -U -r -m -n sleep 86000 &")+", securityContext: {capabilities: {add: [SYS_ADMIN]}}")},
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
		l := &lab{k, k.namespace("calm", "")}
		node := l.nodes()[len(l.nodes())-1]
		on := func(manifest string) string {
			return strings.Replace(manifest, "\nspec:\n", "\nspec:\n  nodeName: "+node+"\n", 1)
		}
		pods := make([]corev1.Pod, len(benigns))
		for i := range benigns {
			l.mustApply(on(benigns[i].manifest(l, fmt.Sprintf("case-%d", i))))
		}
		for i := range benigns {
			pods[i] = l.running(l.ns, fmt.Sprintf("case-%d", i))
		}
		var crowd strings.Builder
		for i := range 40 {
			crowd.WriteString("---\n" + on(pod(l.ns, fmt.Sprintf("crowd-%d", i), "")))
		}
		l.mustApply(crowd.String())
		for i := range 10 {
			l.mustApply(on(strings.Replace(pod(l.ns, fmt.Sprintf("brief-%d", i), "restartPolicy: Never"), "[sleep, 1d]", "[sleep, '0.1']", 1)))
		}
		for i := range benigns {
			if benigns[i].do != nil {
				benigns[i].do(l, pods[i])
			}
		}
		// Long enough for two close looks at each container.
		found := make(map[string][]string)
		for end := time.Now().Add(130 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
			report, err := l.report(node)
			Expect(err).NotTo(HaveOccurred())
			for i := range report.Status.Findings {
				f := &report.Status.Findings[i]
				if f.Pod.Namespace == l.ns && !slices.Contains(found[f.Pod.Name], about(f)+": "+f.Message) {
					found[f.Pod.Name] = append(found[f.Pod.Name], about(f)+": "+f.Message)
				}
			}
		}
		var rows []row
		for i := range benigns {
			all := found[pods[i].Name]
			delete(found, pods[i].Name)
			want := []string{}
			if benigns[i].unseen != "" {
				want = append(want, benigns[i].unseen)
			}
			rows = append(rows, row{name: benigns[i].name, expected: cmp.Or(benigns[i].unseen, "nothing"), found: strings.Join(all, ", "), ok: slices.Equal(all, want)})
		}
		rows = append(rows, row{name: "40 that start at once, 10 that last 0.1 s", expected: "nothing", found: fmt.Sprint(len(found), " pods"), ok: len(found) == 0})
		tell("WORKLOAD", rows)
		Expect(found).To(BeEmpty())
		for i := range rows {
			Expect(rows[i].ok).To(BeTrue(), "%s: found %s", rows[i].name, rows[i].found)
		}
	})
})
