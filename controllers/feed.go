// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// entry tells the ledger of an object: how it is now, or that it is gone.
type entry func(books *ledger.Ledger, o client.Object, gone bool)

// feed holds what changed since the ledger was told last, of each object only how it is now: watches
// run beside the one worker that keeps the ledger.
type feed struct {
	mu   sync.Mutex
	news map[subject]func(*ledger.Ledger)
}

// subject is an object of a kind.
type subject struct {
	kind string
	name types.NamespacedName
}

// tell tells the ledger everything that changed.
func (f *feed) tell(books *ledger.Ledger) {
	f.mu.Lock()
	news := f.news
	f.news = nil
	f.mu.Unlock()
	for _, one := range news {
		one(books)
	}
}

// waiting is how many things the ledger is not told yet.
func (f *feed) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.news)
}

func (f *feed) put(kind string, e entry, o client.Object, gone bool) {
	f.note(subject{kind, client.ObjectKeyFromObject(o)}, func(books *ledger.Ledger) { e(books, o, gone) })
}

// note keeps what is to be told of a subject, in the place of what was.
func (f *feed) note(of subject, tell func(*ledger.Ledger)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news == nil {
		f.news = make(map[subject]func(*ledger.Ledger))
	}
	f.news[of] = tell
}

// handler takes every change of a kind, and asks for a judgement after those that are let pass.
func (f *feed) handler(kind string, e entry, wakes predicate.Predicate) handler.EventHandler {
	ask := coalesced()
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, c event.CreateEvent, q queue) {
			f.put(kind, e, c.Object, false)
			if wakes.Create(c) {
				ask.Create(ctx, c, q)
			}
		},
		UpdateFunc: func(ctx context.Context, u event.UpdateEvent, q queue) {
			f.put(kind, e, u.ObjectNew, false)
			if wakes.Update(u) {
				ask.Update(ctx, u, q)
			}
		},
		DeleteFunc: func(ctx context.Context, d event.DeleteEvent, q queue) {
			f.put(kind, e, d.Object, true)
			ask.Delete(ctx, d, q)
		},
	}
}

func podEntry(books *ledger.Ledger, o client.Object, gone bool) {
	pod, ok := o.(*ledger.Pod)
	switch {
	case gone || !ok:
		books.DeletePod(client.ObjectKeyFromObject(o))
	default:
		books.SetPod(pod)
	}
}

func namespaceEntry(books *ledger.Ledger, o client.Object, gone bool) {
	if gone {
		books.DeleteNamespace(o.GetName())
		return
	}
	books.SetNamespace(o.GetName(), o.GetLabels())
}

func reportEntry(books *ledger.Ledger, o client.Object, gone bool) {
	report, ok := o.(*v1alpha1.NodeIsolationReport)
	if gone || !ok {
		report = nil
	}
	books.SetReport(o.GetName(), report)
}

func nodeEntry(books *ledger.Ledger, o client.Object, gone bool) {
	node, ok := o.(*ledger.Node)
	if gone || !ok {
		node = nil
	}
	books.SetNode(o.GetName(), node)
}

func runtimeClassEntry(books *ledger.Ledger, o client.Object, gone bool) {
	var handler *string
	if class, ok := o.(*nodev1.RuntimeClass); ok && !gone {
		handler = &class.Handler
	}
	books.SetRuntimeClass(o.GetName(), handler)
}

// agentEntry takes the Leases of agents.
func agentEntry(books *ledger.Ledger, o client.Object, gone bool) {
	lease, ok := o.(*coordinationv1.Lease)
	var at time.Time
	if !gone && ok && lease.Labels[v1alpha1.LabelLease] == v1alpha1.LeaseAgent {
		at = renewed(lease)
	}
	books.SetAgent(o.GetName(), at)
}
