// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("While everybody creates pods", Serial, Ordered, func() {
	BeforeAll(func() {
		k.denying("sealed", v1alpha1.EngineValidatingAdmissionPolicy, `
isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container}
portals: {privileged: Forbid, hostPaths: {}, hostPorts: {}}`)
		// A fault may have left less behind for the next spec than it found.
		DeferCleanup(k.managersBack)
	})

	It("holds when one replica of the manager is killed, and then both at once", func() {
		w := k.crowded()
		k.kill(k.managers()[:1])
		k.managersBack()
		w.settle()
		k.kill(k.managers())
		k.managersBack()
		w.settle()
		w.stands(false)
	})

	It("holds while no replica is there, and the API server judges alone where it can", func() {
		w := k.crowded()
		k.withManagersGone()
		gone := time.Now()
		w.vap.eventually(refused)
		w.webhook.eventually(unjudged)
		Consistently(func() []attempt { return with(w.webhook.since(gone), admitted) }).
			WithTimeout(20 * time.Second).Should(BeEmpty())
		for _, p := range w.unhindered {
			p.eventually(admitted)
		}
		Expect(with(w.vap.since(gone), unjudged)).To(BeEmpty(), "nobody but the API server is asked")
		k.managersBack()
		w.settle()
		w.stands(false)
	})

	It("holds through a restart of the API server", Label("node"), func() {
		w := k.crowded()
		for range 2 {
			before := len(with(w.webhook.all(), unanswered))
			k.killComponent("kube-apiserver")
			Eventually(func() int { return len(with(w.webhook.all(), unanswered)) }).WithTimeout(time.Minute).Should(BeNumerically(">", before))
			w.settle()
		}
		w.stands(true)
	})

	It("holds through a restart of the API server while no replica is there", Label("node"), func() {
		w := k.crowded()
		k.withManagersGone()
		k.killComponent("kube-apiserver")
		w.vap.eventually(refused)
		w.webhook.eventually(unjudged)
		k.managersBack()
		w.settle()
		w.stands(true)
	})
})

// kill ends the processes of managers as a crash would: without a word.
func (c *cluster) kill(pods []string) {
	GinkgoHelper()
	for _, name := range pods {
		if c.launcher == "" {
			c.mustKubectl("-n", "bulkhead-system", "delete", "pod", name, "--grace-period=0", "--force")
			continue
		}
		var p corev1.Pod
		Expect(c.get(&p, "pod", name, "-n", "bulkhead-system")).To(Succeed())
		// The node has processes of its own, and at most two of the manager: those of this pod are in
		// the cgroup that has its UID.
		// One that was killed a moment ago may not be there again yet, though the API calls it ready.
		c.onNode(p.Spec.NodeName, "", "sh", "-c", `killed=
			for i in $(seq 100); do
				for p in /proc/[0-9]*; do
					tr - _ <$p/cgroup 2>/dev/null | grep -q "$0" && tr '\0' ' ' <$p/cmdline | grep -q 'bulkhead manager' || continue
					kill -9 "${p#/proc/}" && killed=yes
				done
				[ "$killed" ] && exit
				sleep 0.1
			done
			exit 1`, strings.ReplaceAll(string(p.UID), "-", "_"))
	}
}

// killComponent kills one of the cluster's processes; it is started again.
func (c *cluster) killComponent(name string) {
	GinkgoHelper()
	if c.launcher == "" {
		Skip("needs the processes of the control plane: only on the local cluster")
	}
	pid := c.componentPID(name)
	Expect(pid).NotTo(BeZero(), "the cluster has no component %s that runs", name)
	Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
}
