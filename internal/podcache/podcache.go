// SPDX-License-Identifier: Apache-2.0

// Package podcache keeps of every pod of the cluster what is judged, and no more: the manager's cache
// holds a [ledger.Pod] in the place of each corev1.Pod.
package podcache

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// Options say what of each pod the manager's cache keeps. They belong into cache.Options.ByObject.
// Watches of Pods are then handed a *ledger.Pod, and no Pod can be got or listed through the cache as if
// it were whole: [List] tells what there is. Nobody may write to that: what pods of one template have in
// common is kept once.
func Options() cache.ByObject {
	shared := newPool()
	return cache.ByObject{Transform: func(o any) (any, error) {
		// What the cache missed the end of is wrapped, and on its way out; and what was kept already may
		// come by again.
		pod, ok := o.(*corev1.Pod)
		if !ok {
			return o, nil
		}
		kept := ledger.Keep(pod)
		shared.share(kept)
		return kept, nil
	}}
}

// errNotKept: somebody made a cache without [Options].
var errNotKept = errors.New("the cache does not keep pods as podcache.Options says")

// List is every pod in a cache, once it is filled, in no order.
func List(ctx context.Context, c cache.Cache) ([]*ledger.Pod, error) {
	informer, err := c.GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("list pods from the cache: %w", err)
	}
	whole, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return nil, fmt.Errorf("list pods from the cache: %w: it is a %T", errNotKept, informer)
	}
	all := whole.GetStore().List()
	out := make([]*ledger.Pod, len(all))
	for i := range all {
		if out[i], ok = all[i].(*ledger.Pod); !ok {
			return nil, fmt.Errorf("list pods from the cache: %w: it holds a %T", errNotKept, all[i])
		}
	}
	return out, nil
}
