// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// act evicts a pod, in this order: it looks again at everything, asks whether it would be allowed, writes
// it down, and does it. What was written down and then did not happen counts all the same.
func (e *evictor) act(ctx context.Context, d *eviction.Decision, book *evictionBook) {
	switch {
	case !e.permission.granted:
		d.Outcome, d.Why = eviction.NotPermitted, e.permission.why
		return
	case book.err != nil:
		d.Outcome, d.Why = eviction.NoHistory, book.err.Error()
		return
	}
	found := d.Why
	outcome, why, err := e.lookAgain(ctx, d)
	if err == nil && outcome == eviction.Evict {
		outcome, why, err = e.evict(ctx, d, metav1.DryRunAll)
	}
	if err == nil && outcome == eviction.Evicted {
		if err = e.enter(ctx, book, d.Candidate); err != nil {
			book.err = err
			outcome, why, err = eviction.NoHistory, err.Error(), nil
		} else {
			outcome, why, err = e.evict(ctx, d)
		}
	}
	if err != nil {
		logOf(ctx, d).Error(err, "A pod could not be evicted")
		outcome, why = eviction.Failed, err.Error()
	}
	if outcome == eviction.Evicted {
		logOf(ctx, d).Info("Evicted a pod", "why", found)
		why = found
	}
	d.Outcome, d.Why = outcome, why
}

// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies;nodeisolationreports,verbs=get
// +kubebuilder:rbac:groups="",resources=pods;namespaces,verbs=get
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=get

// lookAgain reads everything anew, past the cache: whoever changed the policy a moment ago to stop this is
// heard.
func (e *evictor) lookAgain(ctx context.Context, d *eviction.Decision) (eviction.Outcome, string, error) {
	const changed = eviction.Changed
	policy := &v1alpha1.IsolationPolicy{}
	if gone, err := e.read(ctx, policy, "", d.Policy.Name); err != nil {
		return "", "", err
	} else if gone || policy.UID != d.Policy.UID || policy.Generation != d.Policy.Generation || policy.Spec.Runtime.Action != v1alpha1.Evict {
		return changed, "the policy is another now", nil
	}
	compiled, err := isolation.Compile(policy)
	if err != nil {
		return "", "", err
	}
	pod := &corev1.Pod{}
	if gone, err := e.read(ctx, pod, d.Pod.Namespace, d.Pod.Name); err != nil {
		return "", "", err
	} else if gone || pod.UID != d.UID {
		return changed, "the pod is gone", nil
	}
	if pod.Spec.NodeName != d.Node {
		return changed, "the API server places it on another node than the report", nil
	}
	subject, sight, err := e.seeNow(ctx, pod)
	if err != nil {
		return "", "", err
	}
	// PersistentVolumes are read by watching alone.
	subject.Claims, subject.ClaimsUnknown = d.Claims, d.ClaimsUnknown
	now := eviction.Examine(compiled, ledger.Keep(pod.DeepCopy()), subject, sight, e.excluded)
	if now.Forbidden != "" {
		return changed, "looked at again, it is not to be evicted: " + string(now.Forbidden), nil
	}
	for _, b := range d.Confirmed {
		if slices.ContainsFunc(now.Breaches, func(n eviction.Breach) bool { return n.Place == b.Place }) {
			return eviction.Evict, "", nil
		}
	}
	return changed, "what was wrong with it is not any more", nil
}

// seeNow reads what there is to judge a pod by, and what its node says of it.
func (e *evictor) seeNow(ctx context.Context, pod *corev1.Pod) (*isolation.Subject, isolation.Sight, error) {
	none := isolation.Sight{}
	namespace, report, lease := &corev1.Namespace{}, &v1alpha1.NodeIsolationReport{}, &coordinationv1.Lease{}
	unknown, err := e.read(ctx, namespace, "", pod.Namespace)
	if err != nil {
		return nil, none, err
	}
	subject := isolation.NewSubject(pod, namespace.Labels)
	subject.NamespaceUnknown = unknown
	silent, err := e.read(ctx, report, "", pod.Spec.NodeName)
	if err != nil {
		return nil, none, err
	}
	if silent {
		report = nil
	}
	if _, err := e.read(ctx, lease, e.namespace, pod.Spec.NodeName); err != nil {
		return nil, none, err
	}
	var alive time.Time
	if lease.Labels[v1alpha1.LabelLease] == v1alpha1.LeaseAgent {
		alive = renewed(lease)
	}
	return subject, ledger.SightOf(pod, report, alive, e.clock.Now()), nil
}

// read reads an object as it is now. gone is set if there is none.
func (e *evictor) read(ctx context.Context, o client.Object, namespace, name string) (gone bool, err error) {
	err = e.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %T %q: %w", o, name, err)
	}
	return false, nil
}

// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create

// evict asks the API server to evict the pod of that UID and no other. The Eviction API alone: it respects
// PodDisruptionBudgets, and deleting pods does not.
func (e *evictor) evict(ctx context.Context, d *eviction.Decision, dryRun ...string) (eviction.Outcome, string, error) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Pod.Namespace, Name: d.Pod.Name}}
	err := e.client.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: d.Pod.Namespace, Name: d.Pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr.To(d.UID)}, DryRun: dryRun},
	})
	switch {
	case err == nil:
		return eviction.Evicted, "", nil
	case apierrors.IsTooManyRequests(err):
		return eviction.Disrupted, isolation.Sanitize(err.Error(), 512), nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return eviction.Changed, "the pod is gone", nil
	case apierrors.IsForbidden(err):
		e.permission.doubt()
	}
	return "", "", fmt.Errorf("evict pod %s: %w", d.Pod, err)
}

// permission is whether the manager may evict.
type permission struct {
	granted bool
	// why it may not.
	why string
	// asked is when that was looked at; zero if it is to be looked at now.
	asked time.Time
}

// doubt has it asked again.
func (p *permission) doubt() { p.asked = time.Time{} }

// look asks the API server, every so often. What cannot be asked is not granted.
func (p *permission) look(ctx context.Context, c client.Client, now time.Time, every time.Duration) {
	if !p.asked.IsZero() && now.Sub(p.asked).Abs() < every {
		return
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "eviction"},
	}}
	*p = permission{asked: now, why: "the manager may not evict pods: install config/components/eviction, or set spec.runtime.action to Report"}
	if err := c.Create(ctx, review); err != nil {
		*p = permission{why: isolation.Sanitize("whether the manager may evict could not be asked: "+err.Error(), 1024)}
		return
	}
	p.granted = review.Status.Allowed
}
