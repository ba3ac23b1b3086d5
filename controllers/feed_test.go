// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// wire is a feed with a queue behind it.
type wire struct {
	feed
	queue queue
}

func newWire(t *testing.T) *wire {
	w := &wire{queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())}
	t.Cleanup(w.queue.ShutDown)
	return w
}

func TestTheBooksAreToldHowThingsAreAndNotHowTheyWere(t *testing.T) {
	g := NewWithT(t)
	w, ctx := newWire(t), context.Background()
	pods := w.handler("Pod", podEntry, podChanged)
	pod, recreated := running("a", time.Hour), running("a", time.Minute)
	recreated.UID = "another"
	pods.Create(ctx, event.CreateEvent{Object: ledger.Keep(pod.DeepCopy())}, w.queue)
	pods.Delete(ctx, event.DeleteEvent{Object: ledger.Keep(pod.DeepCopy())}, w.queue)
	pods.Create(ctx, event.CreateEvent{Object: ledger.Keep(recreated.DeepCopy())}, w.queue)
	books := ledger.New(now)
	w.tell(books)
	g.Expect(books.Len()).To(Equal(1))
	g.Expect(books.Exists("another")).To(BeTrue())

	pods.Delete(ctx, event.DeleteEvent{Object: ledger.Keep(recreated.DeepCopy())}, w.queue)
	w.tell(books)
	g.Expect(books.Len()).To(BeZero())
}

func TestEveryKindIsEnteredForWhatItIs(t *testing.T) {
	g := NewWithT(t)
	w, ctx := newWire(t), context.Background()
	p := demanding("shared")
	p.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}}
	books := ledger.New(now)
	books.SetPolicies([]v1alpha1.IsolationPolicy{p})
	counts := func() v1alpha1.PodCounts {
		w.tell(books)
		return books.Standing(p.UID).Pods
	}
	pod, node := running("a", time.Hour), report("one", group(isolated, "a"))
	shop := corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"tenancy": "shared"}}}
	agent, other := lease("one", v1alpha1.LeaseAgent, ""), lease("one", "", "")
	all := predicate.Funcs{}
	namespaces, reports, leases := w.handler("Namespace", namespaceEntry, all), w.handler("NodeIsolationReport", reportEntry, all), w.handler("Lease", agentEntry, all)

	w.handler("Pod", podEntry, all).Create(ctx, event.CreateEvent{Object: ledger.Keep(pod.DeepCopy())}, w.queue)
	namespaces.Create(ctx, event.CreateEvent{Object: &shop}, w.queue)
	reports.Create(ctx, event.CreateEvent{Object: node}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{Matched: 1, Unverified: 1}))
	leases.Create(ctx, event.CreateEvent{Object: &other}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{Matched: 1, Unverified: 1}), "a Lease that is not labelled as an agent's is none")
	leases.Update(ctx, event.UpdateEvent{ObjectOld: &other, ObjectNew: &agent}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{Matched: 1, Compliant: 1}))
	leases.Delete(ctx, event.DeleteEvent{Object: &agent}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{Matched: 1, Unverified: 1}))
	leases.Create(ctx, event.CreateEvent{Object: &agent}, w.queue)
	reports.Delete(ctx, event.DeleteEvent{Object: node}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{Matched: 1, Unverified: 1}))
	reports.Create(ctx, event.CreateEvent{Object: node}, w.queue)
	namespaces.Delete(ctx, event.DeleteEvent{Object: &shop}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{Matched: 1, Compliant: 1}), "a namespace that is not known matches")
	shop.Labels = nil
	namespaces.Create(ctx, event.CreateEvent{Object: &shop}, w.queue)
	g.Expect(counts()).To(Equal(v1alpha1.PodCounts{}))
}

func TestNodesAndRuntimeClassesAreEnteredForWhatTheyAre(t *testing.T) {
	g := NewWithT(t)
	w, ctx, all := newWire(t), context.Background(), predicate.Funcs{}
	books := ledger.New(now)
	pod := running("a", time.Hour)
	pod.Spec.RuntimeClassName = ptr.To("sandboxed")
	w.handler("Pod", podEntry, all).Create(ctx, event.CreateEvent{Object: ledger.Keep(pod.DeepCopy())}, w.queue)
	nodes, classes := w.handler("Node", nodeEntry, all), w.handler("RuntimeClass", runtimeClassEntry, all)
	cached := func(n *corev1.Node) *ledger.Node {
		out, err := NodeCache().Transform(n)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(NodeCache().Transform(out)).To(BeIdenticalTo(out))
		return out.(*ledger.Node)
	}
	ready := func() isolation.UserNamespaceCounts {
		w.tell(books)
		return books.Readiness().Namespaces["shop"]
	}
	node := cached(ledgertest.Node("one", "runsc"))
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "sandboxed"}, Handler: "runsc"}

	g.Expect(ready()).To(Equal(isolation.UserNamespaceCounts{Pods: 1, Unclear: 1}), "neither node nor runtime class is known")
	nodes.Create(ctx, event.CreateEvent{Object: node}, w.queue)
	g.Expect(ready()).To(Equal(isolation.UserNamespaceCounts{Pods: 1, Unclear: 1}), "the runtime class is not known")
	classes.Create(ctx, event.CreateEvent{Object: class}, w.queue)
	g.Expect(ready()).To(Equal(isolation.UserNamespaceCounts{Pods: 1, Ready: 1}))
	old := ledgertest.Node("one", "runsc")
	old.Status.NodeInfo.KernelVersion = "5.15.0"
	nodes.Update(ctx, event.UpdateEvent{ObjectOld: node, ObjectNew: cached(old)}, w.queue)
	g.Expect(ready()).To(Equal(isolation.UserNamespaceCounts{Pods: 1, Blocked: 1}))
	nodes.Update(ctx, event.UpdateEvent{ObjectOld: cached(old), ObjectNew: node}, w.queue)
	classes.Delete(ctx, event.DeleteEvent{Object: class}, w.queue)
	g.Expect(ready()).To(Equal(isolation.UserNamespaceCounts{Pods: 1, Unclear: 1}))
	classes.Create(ctx, event.CreateEvent{Object: class}, w.queue)
	nodes.Delete(ctx, event.DeleteEvent{Object: node}, w.queue)
	g.Expect(ready()).To(Equal(isolation.UserNamespaceCounts{Pods: 1, Unclear: 1}))
}

func TestWhatTheKubeletSaysAllTheTimeOfItsNodeAsksForNoJudgement(t *testing.T) {
	g := NewWithT(t)
	asks := func(change func(*corev1.Node)) bool {
		now := ledgertest.Node("one")
		change(now)
		return nodeChanged.Update(event.UpdateEvent{ObjectOld: ledger.KeepNode(ledgertest.Node("one")), ObjectNew: ledger.KeepNode(now)})
	}
	g.Expect(asks(func(n *corev1.Node) { n.Status.Images = []corev1.ContainerImage{{Names: []string{"app"}}} })).To(BeFalse())
	g.Expect(asks(func(n *corev1.Node) { n.Status.NodeInfo.KernelVersion = "6.19.0" })).To(BeTrue())
	g.Expect(asks(func(n *corev1.Node) { n.Status.NodeInfo.ContainerRuntimeVersion = "containerd://2.3.1" })).To(BeTrue())
	g.Expect(asks(func(n *corev1.Node) { n.Status.RuntimeHandlers = nil })).To(BeTrue())
	g.Expect(asks(func(n *corev1.Node) { n.Status.RuntimeHandlers[0].Features.UserNamespaces = ptr.To(false) })).To(BeTrue())
	g.Expect(asks(func(n *corev1.Node) { n.Labels[corev1.LabelOSStable] = string(corev1.Windows) })).To(BeTrue())
}
