// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Readiness for user namespaces", func() {
	It("is told of each namespace without any policy, as pods, nodes and runtime classes are now", func(ctx context.Context) {
		namespace, other, a := aNamespace(ctx), aNamespace(ctx), anAgent(ctx)
		class := create(ctx, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{GenerateName: "class-"}, Handler: "runsc"})
		plain := running(ctx, namespace, "plain", a.node, time.Hour)
		running(ctx, namespace, "own", a.node, time.Hour, func(p *corev1.Pod) { p.Spec.HostUsers = ptr.To(false) })
		running(ctx, namespace, "sandboxed", a.node, time.Hour, func(p *corev1.Pod) { p.Spec.RuntimeClassName = &class.Name })
		blocked := running(ctx, other, "blocked", a.node, time.Hour, onHost)
		start()
		told := func(namespace string) AsyncAssertion {
			return Eventually(func(g Gomega) tallied { return readiness(g, namespace) }).WithTimeout(soon)
		}

		told(namespace).Should(Equal(tallied{"own": 1, "unclear": 2}), "its node is not known")
		told(other).Should(Equal(tallied{"blocked": 1}))
		Eventually(obstacles).WithTimeout(soon).Should(SatisfyAll(HaveKeyWithValue("Node Unclear", 3.), HaveKeyWithValue("HostPID Refused", 1.)))

		By("making the node known, whose kernel is old, and upgrading it")
		node := create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.node}})
		node.Status = corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", KernelVersion: "5.15.0", ContainerRuntimeVersion: "containerd://2.3.0"},
			RuntimeHandlers: []corev1.NodeRuntimeHandler{
				{Name: "", Features: &corev1.NodeRuntimeHandlerFeatures{UserNamespaces: ptr.To(true)}},
				{Name: "runsc", Features: &corev1.NodeRuntimeHandlerFeatures{UserNamespaces: ptr.To(false)}},
			},
		}
		Expect(cluster.Status().Update(ctx, node)).To(Succeed())
		told(namespace).Should(Equal(tallied{"own": 1, "blocked": 2}))
		Eventually(obstacles).WithTimeout(soon).Should(HaveKeyWithValue("Kernel Fails", 3.))
		node.Status.NodeInfo.KernelVersion = "6.18.0"
		Expect(cluster.Status().Update(ctx, node)).To(Succeed())
		told(namespace).Should(Equal(tallied{"own": 1, "ready": 1, "blocked": 1}))

		By("deleting the runtime class, and making it again for a handler that has user namespaces")
		Expect(cluster.Delete(ctx, class)).To(Succeed())
		told(namespace).Should(Equal(tallied{"own": 1, "ready": 1, "unclear": 1}))
		node.Status.RuntimeHandlers[0].Name = "runc"
		Expect(cluster.Status().Update(ctx, node)).To(Succeed())
		told(namespace).Should(Equal(tallied{"own": 1, "unclear": 2}), "of the default handler the kubelet says nothing any more")
		create(ctx, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: class.Name}, Handler: "runc"})
		told(namespace).Should(Equal(tallied{"own": 1, "ready": 1, "unclear": 1}))

		By("seeing a pod whose root is root on the node")
		onNode := isolated
		onNode.User = v1alpha1.LevelHost
		a.sees(ctx, at(onNode, plain))
		told(namespace).Should(Equal(tallied{"own": 1, "ready": 1, "unclear": 1, "seen at Host": 1}))

		By("deleting pods and the node")
		Expect(cluster.Delete(ctx, plain, client.GracePeriodSeconds(0))).To(Succeed())
		told(namespace).Should(Equal(tallied{"own": 1, "ready": 1}))
		Expect(cluster.Delete(ctx, blocked, client.GracePeriodSeconds(0))).To(Succeed())
		told(other).Should(BeEmpty(), "a namespace without pods has no series")
		Eventually(obstacles).WithTimeout(soon).Should(BeEmpty(), "what stands in nobody's way has no series")
		Expect(cluster.Delete(ctx, node)).To(Succeed())
		told(namespace).Should(Equal(tallied{"own": 1, "unclear": 1}))
	})
})

// tallied are pods by what metrics count them by.
type tallied map[string]float64

// readiness is what metrics tell of a namespace.
func readiness(g Gomega, namespace string) tallied {
	out := tallied{}
	gathered(g, "bulkhead_userns_pods", func(label map[string]string, n float64) {
		if label["pod_namespace"] == namespace {
			out[label["state"]] = n
		}
	})
	gathered(g, "bulkhead_userns_pods_seen_at_host", func(label map[string]string, n float64) {
		if label["pod_namespace"] == namespace {
			out["seen at Host"] = n
		}
	})
	return out
}

// obstacles are what metrics tell of all pods.
func obstacles(g Gomega) tallied {
	out := tallied{}
	gathered(g, "bulkhead_userns_obstacles", func(label map[string]string, n float64) { out[label["reason"]+" "+label["kind"]] = n })
	return out
}

// gathered visits the series of a gauge.
func gathered(g Gomega, name string, visit func(label map[string]string, value float64)) {
	families, err := metrics.Registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := map[string]string{}
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			visit(label, m.GetGauge().GetValue())
		}
	}
}
