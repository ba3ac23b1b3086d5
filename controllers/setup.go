// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Options say how the controllers are installed.
type Options struct {
	// InstallNamespace is where leases, the Secret and the webhook's Service are. Defaults to
	// [v1alpha1.InstallNamespace].
	InstallNamespace string
	// ExcludedNamespaces are left alone at admission. The controllers judge them like any other.
	ExcludedNamespaces []string
	// Clock defaults to the real one.
	Clock clock.PassiveClock
}

// all is the one request that a reconciler of everything gets.
var all = reconcile.Request{NamespacedName: types.NamespacedName{Name: "all"}}

// Setup adds the controllers to a manager. They run on the replica that leads.
func Setup(mgr manager.Manager, o Options) error {
	o.InstallNamespace = cmp.Or(o.InstallNamespace, v1alpha1.InstallNamespace)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	statuses := &statusReconciler{
		client: mgr.GetClient(), namespace: o.InstallNamespace, clock: o.Clock,
		teller: newTeller(mgr.GetEventRecorder("bulkhead")),
	}
	if err := setupStatuses(mgr, statuses); err != nil {
		return fmt.Errorf("set up the statuses of policies: %w", err)
	}
	webhooks := &webhookReconciler{
		client:  mgr.GetClient(),
		options: webhookOptions{namespace: o.InstallNamespace, excluded: o.ExcludedNamespaces},
	}
	if err := setupWebhooks(mgr, webhooks); err != nil {
		return fmt.Errorf("set up the webhook configuration: %w", err)
	}
	return nil
}

func setupStatuses(mgr manager.Manager, r *statusReconciler) error {
	here := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.namespace })
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == v1alpha1.WebhookConfigurationName })
	changed := predicate.GenerationChangedPredicate{}
	return builder.ControllerManagedBy(mgr).Named("policy-status").
		Watches(&v1alpha1.IsolationPolicy{}, everything(), builder.WithPredicates(changed)).
		Watches(&corev1.Pod{}, everything()).
		Watches(&corev1.Namespace{}, everything(), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&v1alpha1.NodeIsolationReport{}, everything()).
		Watches(&coordinationv1.Lease{}, everything(), builder.WithPredicates(here, predicate.NewPredicateFuncs(isOurLease))).
		Watches(&discoveryv1.EndpointSlice{}, everything(), builder.WithPredicates(here)).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, everything(), builder.WithPredicates(ours)).
		Complete(r)
}

func setupWebhooks(mgr manager.Manager, r *webhookReconciler) error {
	named := func(name string) builder.Predicates {
		return builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == name }))
	}
	return builder.ControllerManagedBy(mgr).Named("webhook-configuration").
		Watches(&v1alpha1.IsolationPolicy{}, everything(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, everything(), named(v1alpha1.WebhookSecretName)).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, everything(), named(v1alpha1.WebhookConfigurationName)).
		Complete(r)
}

// isOurLease leaves out the lease of the leader, which is renewed all the time.
func isOurLease(o client.Object) bool { return o.GetLabels()[v1alpha1.LabelLease] != "" }

// everything wakes a reconciler of everything, a moment later: other changes will follow.
func everything() handler.EventHandler {
	wake := func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) { q.AddAfter(all, coalesce) }
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc:  func(_ context.Context, _ event.CreateEvent, q queue) { wake(q) },
		UpdateFunc:  func(_ context.Context, _ event.UpdateEvent, q queue) { wake(q) },
		DeleteFunc:  func(_ context.Context, _ event.DeleteEvent, q queue) { wake(q) },
		GenericFunc: func(_ context.Context, _ event.GenericEvent, q queue) { wake(q) },
	}
}

// PodCache keeps of every pod what is judged, and drops the rest from memory.
func PodCache() cache.ByObject {
	return cache.ByObject{Transform: func(o any) (any, error) {
		if pod, ok := o.(*corev1.Pod); ok {
			strip(pod)
		}
		return o, nil
	}}
}

func strip(pod *corev1.Pod) {
	pod.ManagedFields, pod.Annotations, pod.OwnerReferences = nil, nil, nil
	pod.Spec.Tolerations, pod.Spec.Affinity, pod.Spec.TopologySpreadConstraints = nil, nil, nil
	for i := range pod.Spec.InitContainers {
		stripContainer(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		stripContainer(&pod.Spec.Containers[i])
	}
	pod.Status.Conditions = nil
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		*s = corev1.ContainerStatus{Name: s.Name, ContainerID: s.ContainerID, State: s.State}
	}
}

func stripContainer(c *corev1.Container) {
	c.Command, c.Args, c.Env, c.EnvFrom = nil, nil, nil, nil
}
