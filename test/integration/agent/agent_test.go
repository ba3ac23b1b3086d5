// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gstruct"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// soon is how long news may take: a look, a confirmation, and ten seconds between writes.
const soon = 25 * time.Second

// in is the cgroup of a pod's container.
func in(pod *corev1.Pod, id string) string {
	return "0::/kubepods/besteffort/pod" + string(pod.UID) + "/" + id
}

var (
	app   = proctest.ID("a")
	pause = proctest.ID("5")
)

// start puts the pod's processes into the node's /proc.
func (n *node) start(pod *corev1.Pod) {
	n.tree.Add(
		proctest.Process{PID: 100, PPID: 1, Comm: "pause", Cgroup: in(pod, pause), NS: proctest.Pod(1, 0)},
		proctest.Process{PID: 110, PPID: 1, Comm: "app", Cgroup: in(pod, app), NS: proctest.Pod(1, 1)},
	)
}

// escape puts a process of the pod's into the node's mount namespace.
func (n *node) escape(pod *corev1.Pod) {
	n.tree.Add(proctest.Process{
		PID: 115, PPID: 110, Comm: "out", Cgroup: in(pod, app),
		NS: proctest.Pod(1, 1).With(proctest.Mnt, proctest.Node[proctest.Mnt]),
	})
}

var _ = Describe("The agent", func() {
	var (
		n   *node
		pod *corev1.Pod
	)

	BeforeEach(func(ctx context.Context) {
		n = newNode(ctx)
		pod = n.running(ctx, "web", app)
		n.start(pod)
	})

	It("reports what it sees, on an object that belongs to the node", func(ctx context.Context) {
		n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKeyWithValue(pod.Name, v1alpha1.Levels{
			PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container",
			User: "Host", Cgroup: "Container", Time: "Host",
		}))
		r, err := n.report(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.OwnerReferences).To(ConsistOf(metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}))
		Expect(r.Status.Node).To(Equal(v1alpha1.NodeFacts{
			BootID: "11111111-2222-4333-8444-555555555555", KernelVersion: "6.18.0-test", ContainerRuntime: "containerd://2.4.2",
		}))
		Expect(r.Status.Namespaces).To(HaveLen(8))
		Expect(r.Status.Namespaces).To(HaveEach(HaveField("EstablishedBy", "pid1")))
		Expect(r.Status.PodsTotal).To(BeEquivalentTo(1))
		Expect(r.Status.Findings).To(BeEmpty())
		Expect(r.Status.ChangedAt).NotTo(BeNil())
		Expect(r.Status.Conditions).To(ConsistOf(
			And(HaveField("Type", v1alpha1.ConditionReady), HaveField("Status", metav1.ConditionTrue)),
			And(HaveField("Type", v1alpha1.ConditionDegraded), HaveField("Status", metav1.ConditionFalse)),
		))
	})

	It("renews its lease", func(ctx context.Context) {
		n.runAgent()
		lease := func(ctx context.Context) (*coordinationv1.Lease, error) {
			l := &coordinationv1.Lease{}
			return l, cluster.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: n.Name}, l)
		}
		Eventually(lease).WithContext(ctx).WithTimeout(soon).Should(PointTo(MatchFields(IgnoreExtras, Fields{
			"ObjectMeta": MatchFields(IgnoreExtras, Fields{
				"Labels":          HaveKeyWithValue(v1alpha1.LabelLease, v1alpha1.LeaseAgent),
				"OwnerReferences": ConsistOf(HaveField("UID", n.UID)),
			}),
			"Spec": MatchFields(IgnoreExtras, Fields{
				"LeaseDurationSeconds": HaveValue(BeEquivalentTo(v1alpha1.AgentLeaseSeconds)),
				"RenewTime":            HaveField("Time", BeTemporally("~", time.Now(), soon)),
				"HolderIdentity":       HaveValue(Equal(n.Name)),
			}),
		})))
	})

	It("writes nothing while nothing changes", func(ctx context.Context) {
		n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKey(pod.Name))
		before, err := n.report(ctx)
		Expect(err).NotTo(HaveOccurred())
		Consistently(func(ctx context.Context) (string, error) {
			r, err := n.report(ctx)
			return r.ResourceVersion, err
		}).WithContext(ctx).WithTimeout(writesApart + 3*time.Second).Should(Equal(before.ResourceVersion))
	})

	It("reports an escape, keeps it through a restart, and clears it when it is over", func(ctx context.Context) {
		stop := n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKey(pod.Name))
		n.escape(pod)
		Eventually(n.kinds).WithContext(ctx).WithTimeout(soon).Should(ConsistOf("Escape mount"))
		before, err := n.report(ctx)
		Expect(err).NotTo(HaveOccurred())
		found := before.Status.Findings[0]
		Expect(found.Pod.Name).To(Equal(pod.Name))
		Expect(found.Container).To(Equal("app"))
		Expect(found.Evidence).To(PointTo(MatchFields(IgnoreExtras, Fields{
			"PID": BeEquivalentTo(115), "Command": Equal("out"), "Owner": Equal("node"),
			"Inode": BeEquivalentTo(proctest.Node[proctest.Mnt]), "OwnInode": BeEquivalentTo(proctest.Pod(1, 1)[proctest.Mnt]),
		})))

		By("restarting the agent")
		stop()
		n.runAgent()
		Consistently(n.kinds).WithContext(ctx).WithTimeout(6 * time.Second).Should(ConsistOf("Escape mount"))
		after, err := n.report(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(after.Status.Findings[0].FirstSeen).To(Equal(found.FirstSeen))

		By("ending the process")
		n.tree.Remove(115)
		Eventually(n.kinds).WithContext(ctx).WithTimeout(soon).Should(BeEmpty())
	})

	It("does not call the escape of a first process a drift after a restart", func(ctx context.Context) {
		stop := n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKey(pod.Name))
		n.tree.Add(proctest.Process{
			PID: 110, PPID: 1, Comm: "app", Cgroup: in(pod, app),
			NS: proctest.Pod(1, 1).With(proctest.Net, proctest.Node[proctest.Net]),
		})
		Eventually(n.kinds).WithContext(ctx).WithTimeout(soon).Should(ConsistOf("Escape network"))
		stop()
		n.runAgent()
		Consistently(n.kinds).WithContext(ctx).WithTimeout(6 * time.Second).Should(ConsistOf("Escape network"))
	})

	It("goes on looking while the API server is away, and reports when it is back", func(ctx context.Context) {
		n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKey(pod.Name))
		n.link.sever()
		n.escape(pod)
		Consistently(n.kinds).WithContext(ctx).WithTimeout(5 * time.Second).Should(BeEmpty())
		n.link.mend()
		Eventually(n.kinds).WithContext(ctx).WithTimeout(soon + 30*time.Second).Should(ConsistOf("Escape mount"))
		r, err := n.report(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Status.Groups).To(HaveLen(1), "the agent lost what it had known of the pods")
	})

	It("starts without an API server", func(ctx context.Context) {
		n.link.sever()
		n.runAgent()
		Consistently(func(ctx context.Context) error {
			_, err := n.report(ctx)
			return err
		}).WithContext(ctx).WithTimeout(3 * time.Second).Should(HaveOccurred())
		n.link.mend()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon + 30*time.Second).Should(HaveKey(pod.Name))
	})

	It("looks when containers change, and names a pod that the API does not know", Label("slow"), func(ctx context.Context) {
		n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKey(pod.Name))
		Expect(cluster.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(n.kinds).WithContext(ctx).WithTimeout(soon + isolation.OrphanAfter).Should(ConsistOf("Orphan "))
	})

	It("makes the report anew when somebody deletes it, and puts it right when somebody changes it", Label("slow"), func(ctx context.Context) {
		n.runAgent()
		Eventually(n.observed).WithContext(ctx).WithTimeout(soon).Should(HaveKey(pod.Name))
		r, err := n.report(ctx)
		Expect(err).NotTo(HaveOccurred())
		r.Status.Groups, r.Status.PodsTotal = nil, 0
		Expect(cluster.Status().Update(ctx, r)).To(Succeed())
		n.escape(pod)
		Eventually(n.kinds).WithContext(ctx).WithTimeout(soon).Should(ConsistOf("Escape mount"))
		Expect(n.observed(ctx)).To(HaveKey(pod.Name))

		Expect(cluster.Delete(ctx, r)).To(Succeed())
		Eventually(n.observed).WithContext(ctx).WithTimeout(time.Minute).Should(HaveKey(pod.Name))
	})

	It("says what it lacks", func(ctx context.Context) {
		n.tree.Add(proctest.Process{PID: 1, Cgroup: "0::/init.scope"})
		n.tree.Remove(2)
		n.runAgent()
		Eventually(n.report).WithContext(ctx).WithTimeout(soon).Should(HaveField("Status.Conditions", ContainElement(And(
			HaveField("Type", v1alpha1.ConditionDegraded), HaveField("Status", metav1.ConditionTrue),
			HaveField("Reason", agent.ReasonNamespacesUnknown), HaveField("Message", ContainSubstring("PID 1")),
		))))
		Expect(n.observed(ctx)).To(HaveKeyWithValue(pod.Name, HaveField("PID", v1alpha1.LevelUnknown)))
	})
})

// writesApart is the least time between two writes of a report.
const writesApart = 10 * time.Second

var _ = Describe("An agent that cannot serve metrics and health", func() {
	It("does not start", func(ctx context.Context) {
		n := newNode(ctx)
		err := agent.Run(ctx, agent.Options{
			NodeName: n.Name, Proc: n.tree.Root, RestConfig: rest.CopyConfig(config), HealthAddr: "no-such-host.invalid:1",
		})
		Expect(err).To(MatchError(ContainSubstring("serve metrics and health")))
	})
})
