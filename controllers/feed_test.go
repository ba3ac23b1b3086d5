// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
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
