// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// pace is the least time between two judgements, and so between two writes of one policy's status.
const pace = time.Second

// statusReconciler writes the status of all policies. There is one request for all of them: a burst of
// changes is entered in the books and judged at once.
type statusReconciler struct {
	client   client.Client
	teller   teller
	clock    clock.PassiveClock
	options  *webhookOptions
	compiler *compiler
	// evictor is offered what the books say, and says whether it can act on it.
	evictor *evictor

	// knowledge is what metrics tell.
	knowledge *knowledge
	// feed holds what the books are not told yet.
	feed feed
	// books on every pod. One worker runs and is the only one that changes them, so what follows needs no
	// lock.
	books *sharedBooks
	// offered is when the evictor was offered something last; zero if no policy evicts.
	offered time.Time
	// rests until then.
	rests time.Time
	// kept is what was told of and stands in no status, by the policy's UID.
	kept map[types.UID]memory
	// turns are those under which was told what could not be written yet, by the policy's UID.
	turns map[types.UID]string
}

// Reconcile judges, writes what changed, and tells what began and ended.
func (r *statusReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	if rest := r.rests.Sub(r.clock.Now()); rest > 0 {
		return reconcile.Result{RequeueAfter: min(rest, pace)}, nil
	}
	began := time.Now()
	in, err := gather(ctx, r.client, r.options.Namespace, r.clock.Now())
	if err != nil {
		return reconcile.Result{}, err
	}
	in.compileAll(r.compiler)
	books := r.keepBooks(in)
	var next alarm
	next.set(r.offer(in, books))
	in.Evictions = r.evictor.conditions()
	j := judge(in, books, r.options)
	r.knowledge.judged(&j, books, in.Now, time.Since(began))
	next.set(j.next)
	again, err := r.writeAll(ctx, &j, books)
	now := r.clock.Now()
	r.rests = now.Add(pace)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case again:
		return reconcile.Result{RequeueAfter: pace}, nil
	case next.at.IsZero():
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: max(next.at.Sub(now), pace)}, nil
}

// offer offers the evictor what the books say, if a policy evicts or did until now, and tells when it is to
// be offered again; zero if it is not. Evictions go on by the passing of time.
func (r *statusReconciler) offer(in *input, books *ledger.Ledger) (again time.Time) {
	evict := slices.ContainsFunc(in.Policies, func(p v1alpha1.IsolationPolicy) bool { return p.Spec.Runtime.Action == v1alpha1.Evict })
	switch {
	case !evict && r.offered.IsZero():
		return time.Time{}
	case !evict:
		r.offered = time.Time{}
		r.evictor.take(offerFrom(in.Policies, books))
		return time.Time{}
	case in.Now.Sub(r.offered).Abs() >= r.evictor.pace():
		r.offered = in.Now
		r.evictor.take(offerFrom(in.Policies, books))
	}
	return r.offered.Add(r.evictor.pace())
}

// keepBooks brings the books up to the moment of the input.
func (r *statusReconciler) keepBooks(in *input) *ledger.Ledger {
	return r.books.keep(func(books *ledger.Ledger) *ledger.Ledger {
		if books == nil {
			books = ledger.New(in.Now)
		}
		books.Advance(in.Now)
		r.feed.tell(books)
		books.SetPolicies(in.Policies)
		return books
	})
}

// writeAll tells what began and ended, and writes every policy's status. It is told first: what was told and
// not written is told again under the same name, but nobody would know of what was written and not told.
// again is set if one of them was written by somebody else meanwhile, or if something is still to be told.
func (r *statusReconciler) writeAll(ctx context.Context, j *judgement, books *ledger.Ledger) (again bool, err error) {
	telling := make([]*telling, len(j.verdicts))
	var told []announcement
	for i := range j.verdicts {
		v := &j.verdicts[i]
		uid := v.policy.UID
		telling[i] = announce(v, books, r.kept[uid], cmp.Or(r.turns[uid], v.policy.ResourceVersion))
		v.status.OutOfSight = telling[i].unseen
		told = append(told, telling[i].out...)
	}
	again = r.teller.tell(ctx, told) > 0

	kept, turns := make(map[types.UID]memory), make(map[types.UID]string)
	var errs []error
	for i, t := range telling {
		uid := t.v.policy.UID
		err := r.write(ctx, &j.verdicts[i])
		switch {
		case err == nil:
			kept[uid] = t.kept
			continue
		case apierrors.IsNotFound(err):
			continue
		case apierrors.IsConflict(err):
			again = true
		default:
			errs = append(errs, err)
		}
		kept[uid], turns[uid] = t.unwritten(r.kept[uid]), t.turn
	}
	r.kept, r.turns = kept, turns
	return again, errors.Join(errs...)
}

// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies/status,verbs=update

// write writes a policy's status if it changed, and only over the one that was read: what is told
// as an event is the difference to that.
func (r *statusReconciler) write(ctx context.Context, v *verdict) error {
	if equality.Semantic.DeepEqual(v.policy.Status, v.status) {
		return nil
	}
	policy := v.policy.DeepCopy()
	policy.Status = v.status
	// The whole of it: a patch of counts that were never written before would leave out the zeros
	// among them. The resource version tells if somebody else wrote meanwhile.
	if err := r.client.Status().Update(ctx, policy); err != nil {
		return fmt.Errorf("write the status of IsolationPolicy %q: %w", v.policy.Name, err)
	}
	return nil
}
