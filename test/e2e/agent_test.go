// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gstruct"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// soon is how long an observation may take from cause to report.
const soon = 30 * time.Second

var _ = Describe("The agent", func() {
	It("observes a clean pod on all eight axes, and a user namespace where the pod asks for one", func() {
		ns := k.namespace("shop", "shared")
		k.mustApply(pod(ns, "clean", "hostUsers: false"))
		k.mustApply(pod(ns, "rooted", ""))
		Eventually(k.levels(k.running(ns, "clean"))).WithTimeout(soon).Should(PointTo(MatchAllFields(Fields{
			"PID": Equal(v1alpha1.LevelContainer), "Network": Equal(v1alpha1.LevelPod),
			"IPC": Equal(v1alpha1.LevelPod), "UTS": Equal(v1alpha1.LevelPod),
			"Mount": Equal(v1alpha1.LevelContainer), "User": Equal(v1alpha1.LevelPod),
			// The runtime's choice, by the version of cgroups; but never unknown.
			"Cgroup": BeElementOf(v1alpha1.LevelHost, v1alpha1.LevelContainer),
			"Time":   Equal(v1alpha1.LevelHost),
		})))
		Eventually(k.levels(k.running(ns, "rooted"))).WithTimeout(soon).Should(PointTo(MatchFields(IgnoreExtras, Fields{
			"PID": Equal(v1alpha1.LevelContainer), "User": Equal(v1alpha1.LevelHost),
		})))
	})

	It("reports its own pod like any other", func() {
		var pods corev1.PodList
		Expect(k.get(&pods, "pods", "-n", "bulkhead-system", "-l", "app.kubernetes.io/component=agent")).To(Succeed())
		Expect(pods.Items).NotTo(BeEmpty())
		Eventually(k.levels(pods.Items[0])).WithTimeout(soon).Should(PointTo(MatchFields(IgnoreExtras, Fields{
			"PID": Equal(v1alpha1.LevelHost), "Network": Equal(v1alpha1.LevelPod), "Mount": Equal(v1alpha1.LevelContainer),
		})))
	})

	It("has one capability, a filter of its own and nothing of the node mounted", Label("node"), func() {
		var pods corev1.PodList
		Expect(k.get(&pods, "pods", "-n", "bulkhead-system", "-l", "app.kubernetes.io/component=agent")).To(Succeed())
		Expect(pods.Items).NotTo(BeEmpty())
		agent := pods.Items[0]
		for _, v := range agent.Spec.Volumes {
			Expect(v.Projected).NotTo(BeNil(), "volume %s", v.Name)
		}
		status := k.onNode(agent.Spec.NodeName, "", "sh", "-c",
			"for p in /proc/[0-9]*; do if grep -q "+containerID(agent)+" $p/cgroup; then cat $p/status; fi; done")
		const sysPtrace = "0000000000080000"
		for _, line := range []string{
			"CapInh:\t0000000000000000", "CapPrm:\t" + sysPtrace, "CapEff:\t" + sysPtrace, "CapBnd:\t" + sysPtrace, "CapAmb:\t0000000000000000",
			"NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2",
		} {
			Expect(status).To(ContainSubstring(line + "\n"))
		}
	})

	It("says how it established the node's namespaces", func() {
		r, err := k.report(k.aNode())
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Status.Namespaces).To(HaveLen(8))
		for _, n := range r.Status.Namespaces {
			Expect(n.EstablishedBy).NotTo(BeEmpty(), "axis %s: %s", n.Axis, n.Reason)
			Expect(n.Inodes).NotTo(BeEmpty())
		}
	})

	It("reports a static pod that has no mirror", Label("node"), func() {
		node := k.aNode()
		manifest := pod("no-such-namespace", "ghost", "")
		k.onNode(node, manifest, "sh", "-c", "cat >/etc/kubernetes/manifests/ghost.yaml")
		DeferCleanup(k.onNode, node, "", "rm", "-f", "/etc/kubernetes/manifests/ghost.yaml")
		any := func(v1alpha1.NodeFinding) bool { return true }
		Eventually(k.findings(node, v1alpha1.Orphan, any)).WithTimeout(2 * time.Minute).Should(ContainElement(
			HaveField("Evidence.Command", ContainSubstring("sleep"))))

		k.onNode(node, "", "rm", "-f", "/etc/kubernetes/manifests/ghost.yaml")
		Eventually(k.findings(node, v1alpha1.Orphan, any)).WithTimeout(90 * time.Second).Should(BeEmpty())
	})

	It("reports a process that enters the node's namespaces, through a restart of the agent, until it is gone", func() {
		ns := k.namespace("lab", "trial")
		k.mustApply(privileged(ns, "peeper"))
		peeper := k.running(ns, "peeper")
		Eventually(k.levels(peeper)).WithTimeout(soon).Should(PointTo(HaveField("Mount", v1alpha1.LevelContainer)))

		end := k.nsenter(ns, "peeper")
		DeferCleanup(func() { end(0) })
		escapes := k.findings(peeper.Spec.NodeName, v1alpha1.Escape, ofPod(peeper))
		axes := WithTransform(axesOf, ContainElements("mount", "network", "ipc", "uts"))
		Eventually(escapes).WithTimeout(soon).Should(axes)
		found, err := escapes()
		Expect(err).NotTo(HaveOccurred())
		for _, f := range found {
			Expect(f.Observed).To(Equal(v1alpha1.LevelHost))
			Expect(f.Evidence).To(PointTo(MatchFields(IgnoreExtras, Fields{
				"PID": BeNumerically(">", 0), "StartTime": BeNumerically(">", 0), "Inode": BeNumerically(">", 0),
				"OwnInode": BeNumerically(">", 0), "Owner": Equal("node"), "Command": ContainSubstring("sleep"),
			})))
		}
		Eventually(k.levels(peeper)).WithTimeout(soon).Should(PointTo(HaveField("Mount", v1alpha1.LevelHost)))

		By("restarting the agent: what it had found stays, from then on")
		before := k.agentOn(peeper.Spec.NodeName)
		k.mustKubectl("-n", "bulkhead-system", "delete", "pod", before, "--now")
		Eventually(func() string { return k.agentOn(peeper.Spec.NodeName) }).WithTimeout(time.Minute).ShouldNot(Or(BeEmpty(), Equal(before)))
		Consistently(escapes).WithTimeout(20 * time.Second).WithPolling(500 * time.Millisecond).Should(axes)
		after, err := escapes()
		Expect(err).NotTo(HaveOccurred())
		for i := range after {
			Expect(after[i].FirstSeen).To(Equal(found[i].FirstSeen), "the finding is older than the agent")
		}

		By("ending the process: the findings go")
		end(after[0].Evidence.PID)
		Eventually(escapes).WithTimeout(soon).Should(BeEmpty())
		Eventually(k.levels(peeper)).WithTimeout(soon).Should(PointTo(HaveField("Mount", v1alpha1.LevelContainer)))
	})

	It("finds nothing wrong with a pod in which somebody runs commands all the time", func() {
		ns := k.namespace("shop", "shared")
		k.mustApply(pod(ns, "busy", ""))
		busy := k.running(ns, "busy")
		Eventually(k.levels(busy)).WithTimeout(soon).ShouldNot(BeNil())
		of := ofPod(busy)
		for end := time.Now().Add(25 * time.Second); time.Now().Before(end); {
			k.mustKubectl("-n", ns, "exec", "busy", "--", "true")
			r, err := k.report(busy.Spec.NodeName)
			Expect(err).NotTo(HaveOccurred())
			for _, f := range r.Status.Findings {
				Expect(of(f)).To(BeFalse(), "%+v", f)
			}
		}
		Expect(k.levels(busy)()).To(PointTo(HaveField("PID", v1alpha1.LevelContainer)))
	})
})

var _ = Describe("The token of an agent", func() {
	It("writes the report of its own node, and nobody else's", func(ctx context.Context) {
		var pods corev1.PodList
		Expect(k.get(&pods, "pods", "-n", "bulkhead-system", "-l", "app.kubernetes.io/component=agent")).To(Succeed())
		if len(pods.Items) < 2 {
			Skip("needs two nodes")
		}
		own, other := pods.Items[0], pods.Items[1]
		token := strings.TrimSpace(k.mustKubectl("-n", "bulkhead-system", "create", "token", "bulkhead-agent",
			"--bound-object-kind=Pod", "--bound-object-name="+own.Name, "--bound-object-uid="+string(own.UID)))
		holder := k.withToken(token)
		write := func(ctx context.Context, node string) error {
			report := &v1alpha1.NodeIsolationReport{}
			if err := holder.Get(ctx, client.ObjectKey{Name: node}, report); err != nil {
				return err
			}
			return holder.Status().Update(ctx, report)
		}
		// The agent itself may write in between.
		Eventually(write).WithArguments(own.Spec.NodeName).WithContext(ctx).Should(Succeed())
		Expect(write(ctx, other.Spec.NodeName)).To(MatchError(ContainSubstring("may not write for " + other.Spec.NodeName)))
	})
})

// axesOf are the axes of findings.
func axesOf(findings []v1alpha1.NodeFinding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, string(f.Axis))
	}
	return out
}

// agentOn is the name of the ready agent pod on a node; empty if there is none.
func (c *cluster) agentOn(node string) string {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(c.get(&pods, "pods", "-n", "bulkhead-system", "-l", "app.kubernetes.io/component=agent",
		"--field-selector", "spec.nodeName="+node)).To(Succeed())
	for _, p := range pods.Items {
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
				return p.Name
			}
		}
	}
	return ""
}

// nsenter enters the node's namespaces from a privileged hostPID pod, and stays there until end is
// called with the number of the process, as the pod sees it; 0 only lets go of it.
func (c *cluster) nsenter(namespace, name string) (end func(pid int64)) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, c.binary, "--kubeconfig", c.kubeconfig, "-n", namespace, "exec", name, "--",
		"nsenter", "-t", "1", "-m", "-n", "-i", "-u", "sleep", "86399")
	cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
	Expect(cmd.Start()).To(Succeed())
	return func(pid int64) {
		GinkgoHelper()
		// The process outlives the connection of kubectl exec: it must be ended in the pod.
		if pid != 0 {
			c.mustKubectl("-n", namespace, "exec", name, "--", "kill", strconv.FormatInt(pid, 10))
		}
		cancel()
		_ = cmd.Wait()
	}
}

// withToken is a client that has nothing but a token.
func (c *cluster) withToken(token string) client.Client {
	GinkgoHelper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token
	scheme := runtime.NewScheme()
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(coordinationv1.AddToScheme(scheme)).To(Succeed())
	holder, err := client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return holder
}
