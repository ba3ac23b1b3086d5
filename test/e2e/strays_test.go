// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// A stray is a case of what runs on a node and is unknown to the API.
type stray struct {
	name string
	// appear brings it about on the node, and returns the IDs of the containers that may be told as it.
	appear func(l *lab, node string) (containers []string)
	// reason is what the finding says, and no other is to be there.
	reason string
}

// byAStray is how long the API is given to learn of a container (60 s), and a look and a write.
const byAStray = 100 * time.Second

var strays = []stray{
	{"a static pod whose namespace does not exist", func(l *lab, node string) []string {
		l.static(node, "homeless", pod("no-such-namespace", "homeless", ""))
		return l.containersOf(node, "homeless-"+node)
	}, "knows no mirror"},
	{"a static pod whose mirror the API server refuses", func(l *lab, node string) []string {
		l.refuse("unwanted-" + node)
		l.static(node, "unwanted", pod(l.ns, "unwanted", ""))
		return l.containersOf(node, "unwanted-"+node)
	}, "knows no mirror"},
	{"a container that ctr started in a pod's cgroup", func(l *lab, node string) []string {
		host := l.runningOn(node, "host", pod(l.ns, "host", ""))
		l.ctr(host, "..", "lab-1")
		return []string{"pod-" + string(host.UID)}
	}, "in none of its containers"},
	{"a container that ctr started as if it were the pod's", func(l *lab, node string) []string {
		host := l.runningOn(node, "guarded", pod(l.ns, "guarded", ""))
		id := strings.Repeat("5eed", 16)
		l.ctr(host, "..", id)
		return []string{id}
	}, "names no such container"},
	// The last one, for it keeps the kubelet from starting others.
	{"what is left of a pod that was deleted", func(l *lab, node string) []string {
		l.runningOn(node, "bereft", pod(l.ns, "bereft", ""))
		left := l.containersOf(node, "bereft")
		l.onNode(node, "", "sh", "-c", "kill -STOP $(pidof kubelet)")
		DeferCleanup(l.resume, node)
		l.mustKubectl("-n", l.ns, "delete", "pod", "bereft", "--force", "--grace-period=0")
		return left
	}, "knows no such pod"},
}

var _ = Describe("The corpus of strays", Label("escapes", "node"), Ordered, func() {
	It("is found, every case of it told from the others, and goes with what it tells of", func() {
		l := newLab(k)
		node := l.nodes()[0]
		calm, loose := l.mirrored(node)
		all, stop := l.listen(node)
		time.Sleep(15 * time.Second) // where a container started is known once it has been seen twice
		l.inside(loose, "enter", "1", "net")
		mirrors := l.search([]escape{{name: "a static pod with its mirror, which escapes", find: []string{"Escape network"}, within: byALook}},
			[]corev1.Pod{loose}, []time.Time{time.Now()})
		containers, since := make([][]string, len(strays)), make([]time.Time, len(strays))
		for i := range strays {
			containers[i], since[i] = strays[i].appear(l, node), time.Now()
		}
		rows := append(l.seek(node, containers, since), mirrors...)
		stop()
		rows = append(rows, silent("a static pod with its mirror", all[calm.UID]))
		tellAndExpect("STRAY", rows)
		Expect(l.levels(calm)()).NotTo(BeNil(), "the API knows the static pod by its mirror")

		By("ending them all")
		l.resume(node)
		l.onNode(node, "", "sh", "-c", "rm -f /etc/kubernetes/manifests/*.yaml")
		l.mustKubectl("-n", l.ns, "delete", "pods", "--all", "--now", "--wait=false")
		Eventually(func() ([]string, error) {
			var left []string
			report, err := l.report(node)
			for i := range containers {
				left = append(left, strayReasons(report, containers[i])...)
			}
			return left, err
		}).WithTimeout(90 * time.Second).Should(BeEmpty())
	})
})

// mirrored are two static pods that the API knows: one to do nothing, one from which to escape.
func (l *lab) mirrored(node string) (calm, loose corev1.Pod) {
	GinkgoHelper()
	l.static(node, "calm", pod(l.ns, "calm", ""))
	l.static(node, "loose", l.insider("loose"))
	mirror := func(name string) corev1.Pod {
		Eventually(func() error { _, err := l.kubectl("", "-n", l.ns, "get", "pod", name); return err }).WithTimeout(time.Minute).Should(Succeed())
		return l.running(l.ns, name)
	}
	calm, loose = mirror("calm-"+node), mirror("loose-"+node)
	Eventually(l.levels(loose)).WithTimeout(soon).ShouldNot(BeNil())
	return calm, loose
}

// seek waits until every stray is found, or its time is over.
func (l *lab) seek(node string, containers [][]string, since []time.Time) []row {
	GinkgoHelper()
	rows := make([]row, len(strays))
	for open := true; open; time.Sleep(500 * time.Millisecond) {
		report, err := l.report(node)
		Expect(err).NotTo(HaveOccurred())
		open = false
		for i := range strays {
			r := &rows[i]
			if r.ok {
				continue
			}
			found := strayReasons(report, containers[i])
			*r = row{name: strays[i].name, expected: "Orphan: …" + strays[i].reason + "…", found: strings.Join(found, ", ")}
			r.ok = len(found) == 1 && strings.Contains(found[0], strays[i].reason)
			if r.ok {
				r.took = time.Since(since[i])
			}
			open = open || !r.ok && time.Since(since[i]) < byAStray
		}
	}
	return rows
}

// strayReasons are the reasons for which a report calls one of the containers unknown.
func strayReasons(report *v1alpha1.NodeIsolationReport, containers []string) []string {
	var reasons []string
	for i := range report.Status.Findings {
		f := &report.Status.Findings[i]
		if f.Kind == v1alpha1.Orphan && slices.Contains(containers, f.ContainerID) && !slices.Contains(reasons, f.Message) {
			reasons = append(reasons, f.Message)
		}
	}
	return reasons
}

// static puts a manifest where the kubelet looks for its own.
func (l *lab) static(node, name, manifest string) {
	GinkgoHelper()
	file := "/etc/kubernetes/manifests/" + name + ".yaml"
	DeferCleanup(l.onNode, node, "", "rm", "-f", file)
	l.onNode(node, manifest, "sh", "-c", "cat >"+file)
}

// refuse makes the API server refuse pods of a name.
func (l *lab) refuse(name string) {
	GinkgoHelper()
	l.mustApply(fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: lab-refuse}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations: [{expression: "object.metadata.name != '%s'"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: lab-refuse}
spec: {policyName: lab-refuse, validationActions: [Deny]}`, name))
	DeferCleanup(l.mustKubectl, "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "lab-refuse")
	Eventually(func() string {
		out, _ := l.kubectl(pod(l.ns, name, ""), "apply", "--dry-run=server", "-f", "-")
		return out
	}).WithTimeout(30 * time.Second).Should(ContainSubstring("lab-refuse"))
}

// runningOn applies the manifest of a pod so that it comes to the node, and waits until it runs.
func (l *lab) runningOn(node, name, manifest string) corev1.Pod {
	GinkgoHelper()
	l.mustApply(on(node, manifest))
	return l.running(l.ns, name)
}

// on is the manifest of a pod that is to come to the node.
func on(node, manifest string) string {
	return strings.Replace(manifest, "\nspec:\n", "\nspec:\n  nodeName: "+node+"\n", 1)
}

// containersOf are the IDs that the runtime has for the containers of a pod, its sandbox and one more.
func (l *lab) containersOf(node, pod string) []string {
	GinkgoHelper()
	var ids []string
	Eventually(func() []string {
		ids = strings.Fields(l.onNode(node, "", "sh", "-c", `ctr -n k8s.io containers ls -q "labels.\"io.kubernetes.pod.name\"==$0" 2>/dev/null`, pod))
		return ids
	}).WithTimeout(time.Minute).Should(HaveLen(2), "containers of %s", pod)
	return ids
}

// ctr starts a container of that name behind the kubelet's back, in a cgroup that is named from the one of
// the pod's container.
func (l *lab) ctr(pod corev1.Pod, cgroup, name string, options ...string) {
	GinkgoHelper()
	node := pod.Spec.NodeName
	// Also after a start that failed halfway.
	DeferCleanup(l.onNode, node, "", "sh", "-c", `exec 2>/dev/null
		ctr -n k8s.io task kill -s KILL "$0"
		for i in $(seq 50); do ctr -n k8s.io container rm "$0"; ctr -n k8s.io container info "$0" >/dev/null || break; sleep 0.1; done
		ctr -n k8s.io snapshot rm "$0" || true`, name)
	l.onNode(node, "", append([]string{"sh", "-c", `id=$1 cgroup=$2 name=$3 && shift 3 &&
		of=$(sed -n 's/^[0-9]*:\(pids\|\):\(.*'"$id"'\).*/\2/p' /proc/"$0"/cgroup | head -n 1) && [ "$of" ] &&
		case $cgroup in ..) at=${of%/*} ;; *) at=$of/$cgroup ;; esac &&
		ctr -n k8s.io run --detach --cgroup "$at/$name" "$@" docker.io/library/busybox:bulkhead "$name" sleep 1d`,
		l.pid(pod), containerID(pod), cgroup, name}, options...)...)
}

// resume lets the kubelet go on.
func (l *lab) resume(node string) {
	GinkgoHelper()
	l.onNode(node, "", "sh", "-c", "kill -CONT $(pidof kubelet)")
	Eventually(func() string {
		return l.mustKubectl("get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	}).WithTimeout(time.Minute).Should(Equal("True"))
}
