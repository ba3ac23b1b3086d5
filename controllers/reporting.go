// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// reporting decides which API the reports are written to, and which namespaces' are looked at.
type reporting struct {
	viewers viewers
	reports *reportsReconciler
	log     logr.Logger
	// every so often it is looked which APIs there are.
	every time.Duration
	// queue of namespaces, made before anybody asks.
	queue queue

	// served are the APIs that were there at the last look.
	served []*viewerAPI
	// stop ends the following of the one that is written.
	stop context.CancelFunc
	// uncleared is set while another one may hold some of ours.
	uncleared bool
}

// newReporting makes what writes the reports, and has the books tell it what changed.
func newReporting(mgr manager.Manager, o Options, books *sharedBooks) (*reporting, error) {
	config, http := mgr.GetConfig(), mgr.GetHTTPClient()
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	if err != nil {
		return nil, fmt.Errorf("make a client that asks which APIs there are: %w", err)
	}
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), http)
	if err != nil {
		return nil, fmt.Errorf("make a client for reports: %w", err)
	}
	r := &reporting{
		reports: &reportsReconciler{
			client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: o.Clock, books: books,
			limit: rate.NewLimiter(reportsPerSecond, reportBurst), refusedPace: o.LookForViewers,
		},
		log:   mgr.GetLogger().WithName("reports"),
		every: o.LookForViewers,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(patience(),
			workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Name: "reports"}),
	}
	r.viewers = viewers{discovery: disco, metadata: meta, changed: r.changed}
	r.reports.turnTo(nil)
	books.tell = r.ask
	return r, nil
}

func (r *reporting) setup(mgr manager.Manager) error {
	return builder.ControllerManagedBy(mgr).Named("reports").
		WatchesRawSource(source.Func(func(ctx context.Context, _ queue) error {
			go r.run(ctx)
			return nil
		})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 1,
			NewQueue:                func(string, workqueue.TypedRateLimiter[reconcile.Request]) queue { return r.queue },
		}).
		Complete(r.reports)
}

// ask has the reports of namespaces looked at.
func (r *reporting) ask(namespaces []string) {
	for _, n := range namespaces {
		r.queue.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Name: n}}, coalesce)
	}
}

// changed is told of a report of ours. A report of which nobody knows why it is there is looked at,
// too: so what a former manager left is removed.
func (r *reporting) changed(o *metav1.PartialObjectMetadata, gone bool) {
	if r.reports.see(o, gone) {
		r.ask([]string{o.Namespace})
	}
}

// run looks from time to time which APIs there are.
func (r *reporting) run(ctx context.Context) {
	defer func() {
		if r.stop != nil {
			r.stop()
		}
	}()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for first := true; ; first = false {
		if err := r.look(ctx, first); err != nil && ctx.Err() == nil {
			r.log.Error(err, "looking for the kinds of reports that viewers of policies read")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look goes over to another API if there is another one than before, and clears what is left in others.
func (r *reporting) look(ctx context.Context, first bool) error {
	served, err := r.viewers.served(ctx)
	if err != nil {
		return err
	}
	if first || !slices.Equal(served, r.served) {
		if err := r.turn(ctx, served, first); err != nil {
			return err
		}
	}
	if !r.uncleared {
		return nil
	}
	var errs []error
	for _, other := range served[min(1, len(served)):] {
		errs = append(errs, r.viewers.clear(ctx, other))
	}
	if err := errors.Join(errs...); err != nil {
		r.reports.tellRefused(r.log, err)
		return nil
	}
	r.uncleared = false
	return nil
}

// turn goes over to the first of the APIs that are served.
func (r *reporting) turn(ctx context.Context, served []*viewerAPI, first bool) error {
	var before, now *viewerAPI
	if len(r.served) > 0 {
		before = r.served[0]
	}
	if len(served) > 0 {
		now = served[0]
	}
	if first || now != before {
		if r.stop != nil {
			r.stop()
			r.stop = nil
		}
		r.reports.turnTo(now)
		if now == nil {
			r.log.Info("no reports for viewers of policies are written: neither openreports.io nor wgpolicyk8s.io is installed",
				"lookingAgainEvery", r.every.String())
		} else {
			r.log.Info("writing reports for viewers of policies", "kind", now.kind.GroupKind().String())
			following, stop := context.WithCancel(ctx)
			r.viewers.refused = func(err error) { r.reports.tellRefused(r.log, err) }
			r.stop = stop
			if err := r.viewers.follow(following, now); err != nil {
				return err
			}
			r.ask(r.reports.books.namespaces())
		}
	}
	r.served, r.uncleared = served, len(served) > 1
	return nil
}
