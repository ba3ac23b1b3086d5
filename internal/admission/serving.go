// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1 "k8s.io/client-go/applyconfigurations/coordination/v1"
	appliedmetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

const (
	// renewEvery so often the Lease is written; it is stale after three times as long.
	renewEvery = v1alpha1.WebhookLeaseSeconds * time.Second / 3
	// writeAtMost once in so long.
	writeAtMost = time.Second
	// writeTimeout bounds one write.
	writeTimeout = 5 * time.Second
)

// publisher tells on a Lease of this replica by which policies it judges. The controller compares
// that with the ready endpoints of the webhook's Service.
type publisher struct {
	client  client.Client
	store   *store
	lease   client.ObjectKey
	podName string
	// podUID, if it is known, makes the Lease go when the pod goes.
	podUID types.UID
	clock  clock.Clock
	log    logr.Logger
}

// NeedLeaderElection is false: every replica serves.
func (*publisher) NeedLeaderElection() bool { return false }

// Start writes the Lease on change and at intervals until ctx ends. Nothing is published before
// the policies have been read.
func (p *publisher) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.store.changed:
	}
	for {
		next := renewEvery
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.log.Error(err, "What this replica serves could not be published")
			next = writeAtMost
		}
		again := p.clock.After(next)
		select {
		case <-ctx.Done():
			return nil
		case <-p.clock.After(writeAtMost):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.store.changed:
		case <-again:
		}
	}
}

// To apply is to patch, and to create what is not there. The Lease has the pod's name, so RBAC cannot limit this to it.
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=create;patch

func (p *publisher) publish(ctx context.Context) error {
	served, ok := p.store.served()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	lease := p.leaseOf(served, p.clock.Now())
	if err := p.client.Apply(ctx, lease, client.ForceOwnership, client.FieldOwner("bulkhead-webhook")); err != nil {
		return fmt.Errorf("write Lease %s: %w", p.lease, err)
	}
	return nil
}

func (p *publisher) leaseOf(served v1alpha1.Served, now time.Time) *coordinationv1.LeaseApplyConfiguration {
	lease := coordinationv1.Lease(p.lease.Name, p.lease.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseWebhook}).
		WithAnnotations(map[string]string{v1alpha1.AnnotationServed: served.Encode()}).
		WithSpec(coordinationv1.LeaseSpec().
			WithHolderIdentity(p.podName).
			WithLeaseDurationSeconds(v1alpha1.WebhookLeaseSeconds).
			WithRenewTime(metav1.NewMicroTime(now)))
	if p.podUID != "" {
		lease.WithOwnerReferences(appliedmetav1.OwnerReference().
			WithAPIVersion("v1").WithKind("Pod").WithName(p.podName).WithUID(p.podUID))
	}
	return lease
}
