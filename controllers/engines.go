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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// uids are the UIDs of some policies.
type uids map[types.UID]bool

// admissionReconciler keeps what the API server has been told in step with the policies: the one
// ValidatingWebhookConfiguration, and what is generated for each policy of the other engine. One
// reconciler does both, one step after the other, so that no policy falls between the two.
type admissionReconciler struct {
	client client.Client
	// live reads past the cache.
	live     client.Reader
	clock    clock.PassiveClock
	options  *webhookOptions
	compiler *compiler
	settle   time.Duration

	// watch is what was seen to hold. One worker runs, so nothing here needs a lock.
	watch stopwatch
}

// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies,verbs=list;watch
// +kubebuilder:rbac:groups="",namespace=bulkhead-system,resources=secrets,resourceNames=bulkhead-webhook-cert,verbs=list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=bulkhead,verbs=list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,namespace=bulkhead-system,resources=endpointslices,verbs=list;watch

// setup watches everything that gather reads.
func (r *admissionReconciler) setup(mgr manager.Manager) error {
	here := inNamespace(r.options.Namespace)
	return builder.ControllerManagedBy(mgr).Named("admission").
		Watches(&v1alpha1.IsolationPolicy{}, coalesced(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, coalesced(), builder.WithPredicates(called(r.options.Namespace, v1alpha1.WebhookSecretName))).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, coalesced(),
			builder.WithPredicates(called("", v1alpha1.WebhookConfigurationName))).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicy{}, coalesced()).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, coalesced()).
		Watches(&coordinationv1.Lease{}, coalesced(), builder.WithPredicates(here, leaseChanged(r.clock), ofWebhook)).
		Watches(&discoveryv1.EndpointSlice{}, coalesced(), builder.WithPredicates(here, behindWebhook)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, RateLimiter: patience()}).
		Complete(r)
}

// Reconcile writes what is not as it should be. What the webhook has to take over is told to the API
// server first; what is let go is let go last.
func (r *admissionReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	in, err := r.gather(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	r.compiler.keep(in.Policies)
	steps, without, next := r.plan(in)
	errs := []error{r.configure(ctx, in.Policies, without)}
	for i := range in.Policies {
		p := &in.Policies[i]
		errs = append(errs, r.take(ctx, p, in.Generated[r.compiler.name(p)], steps[p.UID].objects))
	}
	errs = append(errs, r.sweep(ctx, in))
	again, err := conflicts(errs)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case again:
		// What somebody else wrote is on its way here.
		return reconcile.Result{RequeueAfter: pace}, nil
	case next.IsZero():
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: max(next.Sub(in.Now), pace)}, nil
}

// errAgain: what was decided no longer fits what is known.
var errAgain = errors.New("look again")

// conflicts takes apart what settles itself and what does not.
func conflicts(errs []error) (again bool, err error) {
	var others []error
	for _, err := range errs {
		if errors.Is(err, errAgain) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			again = true
		} else if err != nil {
			others = append(others, err)
		}
	}
	return again, errors.Join(others...)
}

// gather reads what the engines of policies depend on.
func (r *admissionReconciler) gather(ctx context.Context) (*input, error) {
	in := &input{Now: r.clock.Now()}
	var policies v1alpha1.IsolationPolicyList
	if err := r.client.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("list IsolationPolicies: %w", err)
	}
	in.Policies = policies.Items
	return in, gatherInstallation(ctx, r.client, r.options.Namespace, in)
}

// plan decides what to do for each policy, which policies need no webhook, and when to look again.
func (r *admissionReconciler) plan(in *input) (map[types.UID]step, uids, time.Time) {
	steps, without := make(map[types.UID]step), make(uids)
	asked := askedFor(in.Configuration, r.options)
	var next alarm
	for i := range in.Policies {
		p := &in.Policies[i]
		compiled, err := isolation.Compile(p)
		if err != nil {
			// It has no entry, and what is generated of a former spec stays.
			continue
		}
		f := r.footing(in, p, compiled, asked)
		s := f.decide(in.Now, r.settle)
		steps[p.UID] = s
		if !s.webhook {
			without[p.UID] = true
		}
		if s.next.After(in.Now) {
			next.set(s.next)
		}
		if !f.want.refused.IsZero() {
			next.set(f.want.refused.Add(refusal))
		}
	}
	r.watch.lap()
	return steps, without, next.at
}

// footing is what is known of one policy.
func (r *admissionReconciler) footing(in *input, p *v1alpha1.IsolationPolicy, compiled *isolation.Policy, asked asked) *footing {
	f := &footing{policy: p, stands: in.Generated[r.compiler.name(p)], asked: asked.whom(p, compiled)}
	if compiled.Engine == v1alpha1.EngineWebhook && f.stands.none() {
		return f
	}
	f.want = r.compiler.attempt(p)
	if f.want.err == nil && f.stands.like(f.want.generated) && f.stands.observed() && len(f.stands.warnings()) == 0 {
		f.compiledSince = r.watch.holds("compiled "+string(p.UID)+" "+f.stands.state(), in.Now)
	}
	if enforcedByWebhook(in, compiled, f.asked).Status == metav1.ConditionTrue {
		f.servedSince = r.watch.holds(fmt.Sprintf("served %s/%d", p.UID, p.Generation), in.Now)
	}
	return f
}

// take does with what is generated for a policy as decided.
func (r *admissionReconciler) take(ctx context.Context, p *v1alpha1.IsolationPolicy, stands generated, m move) error {
	switch m {
	case leave:
		return nil
	case remove:
		return r.remove(ctx, stands)
	}
	want := r.compiler.attempt(p)
	if !want.whole() {
		return errAgain
	}
	err := r.put(ctx, want.generated, stands)
	r.compiler.wrote(p, err)
	if apierrors.IsInvalid(err) {
		logf.FromContext(ctx).Error(err, "The API server refuses what a policy was compiled to", "policy", p.Name)
		return errAgain
	}
	return err
}

// The names hold the UIDs of policies, so RBAC cannot limit this to what is ours.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;create;patch
// What is written belongs to a policy. The admission plugin OwnerReferencesPermissionEnforcement asks for this, where it is on.
// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies/finalizers,verbs=update

// put writes the policy before its binding: a binding without a policy is an error of configuration.
func (r *admissionReconciler) put(ctx context.Context, want, stands generated) error {
	if stands.Policy == nil {
		stands.Policy = &admissionregistrationv1.ValidatingAdmissionPolicy{}
	}
	if err := r.putOne(ctx, want.Policy, stands.Policy); err != nil {
		return fmt.Errorf("write ValidatingAdmissionPolicy %q: %w", want.Policy.Name, err)
	}
	if stands.Binding == nil {
		stands.Binding = &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	}
	if err := r.putOne(ctx, want.Binding, stands.Binding); err != nil {
		return fmt.Errorf("write ValidatingAdmissionPolicyBinding %q: %w", want.Binding.Name, err)
	}
	return nil
}

// putOne creates what is wanted, or repairs what stands; the latter is empty if the cache knows none.
func (r *admissionReconciler) putOne(ctx context.Context, want, stands client.Object) error {
	log := logf.FromContext(ctx).WithValues("kind", fmt.Sprintf("%T", want), "name", want.GetName())
	if stands.GetUID() == "" {
		err := r.client.Create(ctx, want.DeepCopyObject().(client.Object))
		if err == nil {
			log.Info("Created what a policy was compiled to")
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		// Who took our label off it has hidden it from the cache.
		if err := r.live.Get(ctx, client.ObjectKeyFromObject(want), stands); err != nil {
			return err
		}
	}
	better := repaired(stands, want)
	if better == nil {
		return nil
	}
	if err := r.client.Patch(ctx, better, client.MergeFromWithOptions(stands, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	log.Info("Changed what a policy was compiled to")
	return nil
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=delete

// remove deletes the binding before its policy.
func (r *admissionReconciler) remove(ctx context.Context, stands generated) error {
	var objects []client.Object
	if stands.Binding != nil {
		objects = append(objects, stands.Binding)
	}
	if stands.Policy != nil {
		objects = append(objects, stands.Policy)
	}
	for _, o := range objects {
		uid := o.GetUID()
		err := r.client.Delete(ctx, o.DeepCopyObject().(client.Object), client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %T %q: %w", o, o.GetName(), err)
		}
		logf.FromContext(ctx).Info("Deleted what a policy was compiled to", "kind", fmt.Sprintf("%T", o), "name", o.GetName())
	}
	return nil
}

// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies,verbs=get

// sweep removes what belongs to policies that are gone. The API server's garbage collector does so as
// well; what it has not come to yet would still hold against pods. What the cache does not know is
// asked for: it may only not know it yet.
func (r *admissionReconciler) sweep(ctx context.Context, in *input) error {
	var errs []error
	for _, name := range orphans(in.Generated, in.Policies, r.compiler.name) {
		g := in.Generated[name]
		owner := g.owner()
		var p v1alpha1.IsolationPolicy
		err := r.live.Get(ctx, client.ObjectKey{Name: owner.Name}, &p)
		switch {
		case err == nil && p.UID == owner.UID:
		case err == nil || apierrors.IsNotFound(err):
			errs = append(errs, r.remove(ctx, g))
		default:
			errs = append(errs, fmt.Errorf("read IsolationPolicy %q: %w", isolation.Sanitize(owner.Name, 253), err))
		}
	}
	_, err := conflicts(errs)
	return err
}
