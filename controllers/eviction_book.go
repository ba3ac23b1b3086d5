// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

// evictionBook is the history of evictions and the Lease on which it stands. It is read in every round
// that needs it, and written before every eviction, over the one that was read: so neither a restart nor
// another leader forgets what was evicted, and of two that take themselves for the leader one evicts.
type evictionBook struct {
	lease *coordinationv1.Lease
	// history is never nil.
	history *eviction.History
	// err is why it is not known, or could not be written.
	err error
}

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,resourceNames=bulkhead-evictions,verbs=get

// open reads the history, if there is a pod that may be evicted, or another leader may have left something untold.
func (e *evictor) open(ctx context.Context, now time.Time, o *offer, candidates []eviction.Candidate) *evictionBook {
	b := &evictionBook{history: &eviction.History{}}
	recall := !e.recalled && e.permission.granted && len(o.policies) > 0
	if !recall && !slices.ContainsFunc(candidates, func(c eviction.Candidate) bool { return len(c.Breaches) > 0 }) {
		return b
	}
	lease := &coordinationv1.Lease{}
	err := e.live.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: v1alpha1.EvictionsLeaseName}, lease)
	switch {
	case apierrors.IsNotFound(err):
		e.recalled = e.recalled || recall
		return b
	case err != nil:
		b.err = fmt.Errorf("read what was evicted, on Lease %q: %w", v1alpha1.EvictionsLeaseName, err)
		return b
	}
	history, err := eviction.ParseHistory(lease.Annotations[v1alpha1.AnnotationEvictions])
	if err != nil {
		b.err = fmt.Errorf("read what was evicted, in annotation %s of Lease %q in namespace %q: %w; delete the Lease to have it forgotten",
			v1alpha1.AnnotationEvictions, v1alpha1.EvictionsLeaseName, e.namespace, err)
		return b
	}
	b.lease, b.history = lease, history
	history.Advance(now, e.limits.Memory)
	if recall {
		if err := e.recall(ctx, now, o, b); err != nil {
			log.FromContext(ctx).Error(err, "What another leader evicted is told with the next round")
		} else {
			e.recalled = true
		}
	}
	if history.Touch(now, candidates) {
		b.err = e.write(ctx, b)
	}
	return b
}

// enter writes down that a pod is evicted.
func (e *evictor) enter(ctx context.Context, b *evictionBook, c *eviction.Candidate) error {
	b.history.Add(e.clock.Now(), c)
	return e.write(ctx, b)
}

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,resourceNames=bulkhead-evictions,verbs=update

// write writes the history down.
func (e *evictor) write(ctx context.Context, b *evictionBook) error {
	var err error
	if b.lease == nil {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Namespace: e.namespace, Name: v1alpha1.EvictionsLeaseName,
			Labels:      map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy},
			Annotations: map[string]string{v1alpha1.AnnotationEvictions: b.history.Encode()},
		}}
		if err = e.client.Create(ctx, lease); err == nil {
			b.lease = lease
		}
	} else {
		if b.lease.Annotations == nil {
			b.lease.Annotations = make(map[string]string)
		}
		b.lease.Annotations[v1alpha1.AnnotationEvictions] = b.history.Encode()
		err = e.client.Update(ctx, b.lease)
	}
	if err != nil {
		return fmt.Errorf("write down what is evicted, on Lease %q: %w", v1alpha1.EvictionsLeaseName, err)
	}
	return nil
}
