// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

var _ = Describe("Pods that come and go", Label("escapes", "node"), Ordered, func() {
	It("are told apart by their UIDs, though they have one name", func() {
		l := newLab(k)
		node := l.nodes()[0]
		all, stop := l.listen(node)
		// As quick as the kubelet is: the one of before is still there when the next one comes.
		var calm []types.UID
		for range 12 {
			calm = append(calm, l.anew(node).UID)
		}
		loose := l.anew(node)
		Eventually(l.levels(loose)).WithTimeout(soon).ShouldNot(BeNil())
		time.Sleep(15 * time.Second) // where a container started is known once it has been seen twice
		l.inside(loose, "enter", "1", "net")
		rows := l.search([]escape{{name: "the 13th of one name, which escapes", find: []string{"Escape network"}, within: byALook}},
			[]corev1.Pod{loose}, []time.Time{time.Now()})

		last := l.anew(node)
		Eventually(func() ([]string, error) {
			report, err := l.report(node)
			return aboutPod(report, loose), err
		}).WithTimeout(byALook).Should(BeEmpty(), "findings go with the pod, not with its name")
		Eventually(l.levels(last)).WithTimeout(soon).ShouldNot(BeNil())
		time.Sleep(20 * time.Second)
		stop()
		for i, uid := range append(calm, last.UID) {
			rows = append(rows, silent(fmt.Sprintf("pod %d of one name", i+1+i/12), all[uid]))
		}
		tellAndExpect("ONE NAME", rows)
	})

	It("hide nothing, make no noise and harm nobody, however fast their processes are", func() {
		l := newLab(k)
		node := l.nodes()[0]
		agent := l.agentPod(node)
		limited := func(name, manifest string) corev1.Pod {
			return l.runningOn(node, name, strings.Replace(manifest, "command: [sleep, 1d]", "command: [sleep, 1d], resources: {limits: {cpu: 200m}}", 1))
		}
		bomb := limited("bomb", strings.Replace(l.insider("bomb"), "hostPID: true", "hostPID: false", 1))
		away := limited("away", l.insider("away"))
		beside := l.runningOn(node, "beside", l.insider("beside"))
		ending := l.runningOn(node, "ending", strings.Replace(pod(l.ns, "ending", ""), "[sleep, 1d]", "[sh, -c, 'while true; do /bin/true; done'], resources: {limits: {cpu: 200m}}", 1))
		Eventually(l.levels(ending)).WithTimeout(soon).ShouldNot(BeNil())
		time.Sleep(15 * time.Second) // where a container started is known once it has been seen twice

		all, stop := l.listen(node)
		// So few that a bomb with a fifth of a slow processor reaches it, and more than its own threads.
		const most = 64
		counters := []string{l.limitProcesses(bomb, most), l.limitProcesses(away, most)}
		since := time.Now()
		l.inside(bomb, "bomb")
		l.inside(away, "bomb", "1", "net")
		for i, counter := range counters {
			Eventually(l.refusals(node, counter)).WithTimeout(time.Minute).Should(BeNumerically(">", 10), "bomb %d is none", i)
		}
		later := time.Now()
		l.inside(beside, "thread", "1", "net")
		escaped := []string{"Escape network"}
		rows := l.search([]escape{
			{name: "a fork bomb that is elsewhere", find: escaped, within: byALook},
			{name: "an escape beside fork bombs", find: escaped, within: byALook},
		}, []corev1.Pod{away, beside}, []time.Time{since, later})
		time.Sleep(time.Until(since.Add(75 * time.Second))) // a close look at each
		for i, counter := range counters {
			before := l.refusals(node, counter)()
			Eventually(l.refusals(node, counter)).WithTimeout(time.Minute).Should(BeNumerically(">", before), "bomb %d is none any more", i)
		}
		stop()
		rows = append(rows, silent("a fork bomb under a limit of processes", all[bomb.UID]), silent("processes that end all the time", all[ending.UID]))
		for _, p := range []corev1.Pod{bomb, ending} {
			levels, err := l.levels(p)()
			Expect(err).NotTo(HaveOccurred())
			Expect(levels).To(HaveField("PID", BeEquivalentTo("Container")), "%s is seen all the same", p.Name)
		}
		after := l.agentPod(node)
		rows = append(rows, row{name: "the agent", expected: "runs on", found: fmt.Sprint(restarts(after), " restarts"),
			ok: after.UID == agent.UID && restarts(after) == restarts(agent)})
		tellAndExpect("PRESSURE", rows)
	})
})

// anew replaces the pod "twin" by another one of that name at once, and waits until that runs.
func (l *lab) anew(node string) corev1.Pod {
	GinkgoHelper()
	l.mustKubectl("-n", l.ns, "delete", "pod", "twin", "--force", "--grace-period=0", "--ignore-not-found")
	return l.runningOn(node, "twin", l.insider("twin"))
}

// silent is the row of a pod of which nothing must be found.
func silent(name string, found []string) row {
	return row{name: name, expected: "nothing", found: cmp.Or(strings.Join(found, ", "), "nothing"), ok: len(found) == 0}
}

// limitProcesses gives a container at most that many processes, and returns the file that counts the
// refusals.
func (l *lab) limitProcesses(p corev1.Pod, most int) (counter string) {
	GinkgoHelper()
	return strings.TrimSpace(l.onNode(p.Spec.NodeName, "", "sh", "-c", `
		at=/sys/fs/cgroup/pids$(sed -n 's/^[0-9]*:pids://p' /proc/"$0"/cgroup)
		[ -e "$at/pids.max" ] || at=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/"$0"/cgroup)
		echo "$1" >"$at/pids.max" && echo "$at/pids.events"`, l.pid(p), strconv.Itoa(most)))
}

// refusals is how often a process was refused for a limit.
func (l *lab) refusals(node, counter string) func() int {
	return func() int {
		GinkgoHelper()
		var refused int
		text := l.onNode(node, "", "cat", counter)
		_, err := fmt.Sscanf(text, "max %d", &refused)
		Expect(err).NotTo(HaveOccurred(), text)
		return refused
	}
}

// agentPod is the agent's pod on a node.
func (c *cluster) agentPod(node string) corev1.Pod {
	GinkgoHelper()
	var p corev1.Pod
	Eventually(func() error {
		name := c.agentOn(node)
		if name == "" {
			return fmt.Errorf("no agent on %s is ready", node)
		}
		return c.get(&p, "pod", name, "-n", "bulkhead-system")
	}).WithTimeout(time.Minute).Should(Succeed())
	return p
}

func restarts(p corev1.Pod) int32 {
	var n int32
	for _, s := range p.Status.ContainerStatuses {
		n += s.RestartCount
	}
	return n
}
