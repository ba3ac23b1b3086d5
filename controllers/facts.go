// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// facts are everything that the status of policies rests on, at one moment.
type facts struct {
	now      time.Time
	policies []v1alpha1.IsolationPolicy
	pods     []corev1.Pod
	// namespaces are labels by name.
	namespaces map[string]map[string]string
	sights     sights
	serving    serving
}

// gather reads the facts from the cache.
func gather(ctx context.Context, c client.Reader, installNamespace string, now time.Time) (*facts, error) {
	var (
		policies   v1alpha1.IsolationPolicyList
		pods       corev1.PodList
		namespaces corev1.NamespaceList
		reports    v1alpha1.NodeIsolationReportList
		leases     coordinationv1.LeaseList
		slices     discoveryv1.EndpointSliceList
		webhooks   admissionregistrationv1.ValidatingWebhookConfiguration
	)
	// What the cache holds is not changed here, so it need not be copied.
	shared := client.UnsafeDisableDeepCopy
	here := client.InNamespace(installNamespace)
	err := errors.Join(
		c.List(ctx, &policies),
		c.List(ctx, &pods, shared),
		c.List(ctx, &namespaces, shared),
		c.List(ctx, &reports, shared),
		c.List(ctx, &leases, here, shared),
		c.List(ctx, &slices, here, client.MatchingLabels{discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName}, shared),
		client.IgnoreNotFound(c.Get(ctx, client.ObjectKey{Name: v1alpha1.WebhookConfigurationName}, &webhooks)),
	)
	if err != nil {
		return nil, fmt.Errorf("gather what statuses rest on: %w", err)
	}
	f := &facts{
		now: now, policies: policies.Items, pods: pods.Items,
		namespaces: make(map[string]map[string]string, len(namespaces.Items)),
		sights:     sightsOf(reports.Items, leases.Items, now),
		serving:    servingOf(slices.Items, leases.Items, &webhooks, now),
	}
	for i := range namespaces.Items {
		f.namespaces[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	return f, nil
}

// ignorable tells whether a write failed because somebody else was faster or the object is gone:
// the change that made it so is on its way here.
func ignorable(err error) bool { return apierrors.IsConflict(err) || apierrors.IsNotFound(err) }
