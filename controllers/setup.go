// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// coalesce is how long a change waits for others that come with it.
const coalesce = 250 * time.Millisecond

// Options say where Bulkhead is installed.
type Options struct {
	// Instance names this process in the events that it tells. Defaults to the name of the host.
	Instance string
	// InstallNamespace holds the webhook's Service and Secret, and the leases of agents and
	// replicas. Defaults to [v1alpha1.InstallNamespace].
	InstallNamespace string
	// ExcludedNamespaces are those about whose pods nobody is asked at admission; what runs in them
	// is judged like anything else. See [v1alpha1.ExcludedNamespaces].
	ExcludedNamespaces []string
	// SettleTime is how long both engines stand when a policy goes from one to the other. Defaults to
	// ten seconds.
	SettleTime time.Duration
	// LookForViewers is how often it is looked whether the cluster has a kind of report that viewers of
	// policies read, and tried again to write one that was refused. Defaults to a minute.
	LookForViewers time.Duration
	// Eviction limits evictions. Defaults to [eviction.DefaultLimits].
	Eviction *eviction.Limits
	// Clock defaults to the real one.
	Clock clock.PassiveClock
}

// Setup adds the controllers to a manager. They run on the replica that leads. The manager's cache
// of Pods is a [podcache.Options], that of Nodes a [NodeCache], those of ValidatingAdmissionPolicies and
// their bindings a [GeneratedCache]; its caches of Leases, EndpointSlices and Secrets need hold no more than
// InstallNamespace.
func Setup(mgr manager.Manager, o Options) error {
	if o.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name this process in events: %w", err)
		}
		o.Instance = host
	}
	o.InstallNamespace = cmp.Or(o.InstallNamespace, v1alpha1.InstallNamespace)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.SettleTime = cmp.Or(o.SettleTime, settleTime)
	if o.Eviction == nil {
		o.Eviction = ptr.To(eviction.DefaultLimits())
	}
	webhooks := newWebhookOptions(o.InstallNamespace, o.ExcludedNamespaces)
	o.LookForViewers = cmp.Or(o.LookForViewers, lookForViewers)
	books := &sharedBooks{}
	compiler := newCompiler(webhooks.Excluded, o.Clock)
	events := newEventTeller(mgr.GetClient(), o.Clock, o.Instance)
	evictor := newEvictor(mgr.GetClient(), mgr.GetAPIReader(), events, &o, webhooks.Excluded)
	if err := mgr.Add(evictor); err != nil {
		return fmt.Errorf("set up evictions: %w", err)
	}
	status := &statusReconciler{
		client: mgr.GetClient(), teller: events, clock: o.Clock, options: webhooks, compiler: compiler, evictor: evictor,
		books: books,
	}
	status.knowledge = newKnowledge(status.feed.waiting)
	if err := mgr.Add(exported().whileLeading(status.knowledge)); err != nil {
		return fmt.Errorf("set up the controllers' metrics: %w", err)
	}
	if err := status.setup(mgr); err != nil {
		return fmt.Errorf("set up the controller of policies' status: %w", err)
	}
	admission := &admissionReconciler{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: o.Clock, options: webhooks, compiler: compiler, settle: o.SettleTime,
	}
	if err := admission.setup(mgr); err != nil {
		return fmt.Errorf("set up the controller of what the API server is told: %w", err)
	}
	reports, err := newReporting(mgr, o, books)
	if err != nil {
		return fmt.Errorf("set up the controller of reports for viewers: %w", err)
	}
	if err := reports.setup(mgr); err != nil {
		return fmt.Errorf("set up the controller of reports for viewers: %w", err)
	}
	return nil
}

// +kubebuilder:rbac:groups="",resources=pods;namespaces;nodes,verbs=list;watch
// +kubebuilder:rbac:groups=node.k8s.io,resources=runtimeclasses,verbs=list;watch
// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies;nodeisolationreports,verbs=list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,namespace=bulkhead-system,resources=endpointslices,verbs=list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=bulkhead,verbs=list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=list;watch

// setup watches everything that the ledger is told, and everything that gather reads.
func (r *statusReconciler) setup(mgr manager.Manager) error {
	here := inNamespace(r.options.Namespace)
	volumes, err := newVolumes(mgr.GetConfig(), mgr.GetHTTPClient(), &r.feed)
	if err != nil {
		return err
	}
	return builder.ControllerManagedBy(mgr).Named("isolationpolicy-status").
		Watches(&v1alpha1.IsolationPolicy{}, coalesced(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, r.feed.handler("Pod", podEntry, podChanged)).
		Watches(&corev1.Namespace{}, r.feed.handler("Namespace", namespaceEntry, predicate.LabelChangedPredicate{})).
		Watches(&v1alpha1.NodeIsolationReport{}, r.feed.handler("NodeIsolationReport", reportEntry, predicate.Funcs{})).
		Watches(&coordinationv1.Lease{}, r.feed.handler("Lease", agentEntry, leaseChanged(r.clock)), builder.WithPredicates(here)).
		Watches(&corev1.Node{}, r.feed.handler("Node", nodeEntry, nodeChanged)).
		Watches(&nodev1.RuntimeClass{}, r.feed.handler("RuntimeClass", runtimeClassEntry, predicate.Funcs{})).
		WatchesRawSource(volumes).
		Watches(&discoveryv1.EndpointSlice{}, coalesced(), builder.WithPredicates(here, behindWebhook)).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, coalesced(),
			builder.WithPredicates(called("", v1alpha1.WebhookConfigurationName))).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicy{}, coalesced()).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, coalesced()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, RateLimiter: patience()}).
		Complete(r)
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// enqueueSoon enqueues the one request there is, a moment later.
func enqueueSoon(q queue) { q.AddAfter(reconcile.Request{}, coalesce) }

// coalesced does so after every change.
func coalesced() handler.EventHandler {
	return handler.Funcs{
		CreateFunc:  func(_ context.Context, _ event.CreateEvent, q queue) { enqueueSoon(q) },
		UpdateFunc:  func(_ context.Context, _ event.UpdateEvent, q queue) { enqueueSoon(q) },
		DeleteFunc:  func(_ context.Context, _ event.DeleteEvent, q queue) { enqueueSoon(q) },
		GenericFunc: func(_ context.Context, _ event.GenericEvent, q queue) { enqueueSoon(q) },
	}
}

// patience is how long errors are waited out: one request stands for everything, so not for long.
func patience() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](pace, 30*time.Second)
}

// called lets one object pass.
func called(namespace, name string) predicate.Predicate {
	key := client.ObjectKey{Namespace: namespace, Name: name}
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return client.ObjectKeyFromObject(o) == key })
}

func inNamespace(namespace string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == namespace })
}

// behindWebhook lets the endpoints of the webhook's Service pass, ofWebhook the leases of its replicas.
var (
	behindWebhook = predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetLabels()[discoveryv1.LabelServiceName] == v1alpha1.WebhookServiceName
	})
	ofWebhook = predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetLabels()[v1alpha1.LabelLease] == v1alpha1.LeaseWebhook
	})
)

// podChanged lets pass what changes a judgement. What the cache keeps of a pod is little more than
// what is judged; its readiness, for one, is not in there.
var podChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*ledger.Pod)
	if !ok {
		return true
	}
	now, ok := e.ObjectNew.(*ledger.Pod)
	return !ok || !ledger.Same(before, now)
}}

// nodeChanged does so for nodes, of which the kubelet writes the status every few minutes.
var nodeChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*ledger.Node)
	if !ok {
		return true
	}
	now, ok := e.ObjectNew.(*ledger.Node)
	return !ok || !ledger.SameNode(before, now)
}}

// leaseChanged lets pass what cannot be foreseen. That a Lease was renewed in time changes nothing,
// and that it runs out is waited for: see judgement.next.
func leaseChanged(clk clock.PassiveClock) predicate.Predicate {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetLabels()[v1alpha1.LabelLease] != "" })
	return predicate.And(ours, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*coordinationv1.Lease)
		if !ok {
			return true
		}
		now, ok := e.ObjectNew.(*coordinationv1.Lease)
		if !ok {
			return true
		}
		lease := ledger.AgentLease
		if now.Labels[v1alpha1.LabelLease] == v1alpha1.LeaseWebhook {
			lease = replicaLease
		}
		inTime := ledger.Fresh(renewed(before), clk.Now(), lease) && !renewed(now).Before(renewed(before)) && ledger.Fresh(renewed(now), clk.Now(), lease)
		return !inTime || before.Annotations[v1alpha1.AnnotationServed] != now.Annotations[v1alpha1.AnnotationServed] ||
			before.Labels[v1alpha1.LabelLease] != now.Labels[v1alpha1.LabelLease]
	}})
}
