// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// coalesce is how long a change waits for others: a burst of pods is judged once.
	coalesce = 200 * time.Millisecond
	// writeAtMost so often: one status write per policy and second.
	writeAtMost = time.Second
)

// statusReconciler keeps the status of all policies true. One request stands for all: what changes
// is mostly pods, and each concerns several policies.
type statusReconciler struct {
	client    client.Client
	namespace string
	clock     clock.PassiveClock
	teller    *teller
	last      time.Time
}

// Reconcile gathers once, decides for every policy, and writes what has changed.
func (r *statusReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	now := r.clock.Now()
	if wait := writeAtMost - now.Sub(r.last); wait > 0 && !r.last.IsZero() {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	r.last = now
	f, err := gather(ctx, r.client, r.namespace, now)
	if err != nil {
		return reconcile.Result{}, err
	}
	next := earliest(f.sights.stale, f.serving.stale)
	var errs []error
	for i := range f.policies {
		p := &f.policies[i]
		d := decide(f, p)
		next = earliest(next, d.again)
		r.teller.tell(f, p, d.findings)
		if apiequality.Semantic.DeepEqual(p.Status, d.status) {
			continue
		}
		before := p.DeepCopy()
		p.Status = d.status
		// The whole status is this controller's, and a write on top of another generation is not.
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.client.Status().Patch(ctx, p, patch); err != nil && !ignorable(err) {
			errs = append(errs, fmt.Errorf("write the status of IsolationPolicy %s: %w", p.Name, err))
		}
	}
	r.teller.forget(f.policies)
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	return after(next, now), nil
}

// earliest of two times, zero being none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// after wakes up a moment after a time: silence makes no event.
func after(at, now time.Time) reconcile.Result {
	if at.IsZero() {
		return reconcile.Result{}
	}
	return reconcile.Result{RequeueAfter: max(at.Sub(now), 0) + 100*time.Millisecond}
}
