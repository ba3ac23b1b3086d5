// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// caKey is the authority's certificate in the webhook's Secret.
const caKey = "ca.crt"

// configurationReconciler keeps the one ValidatingWebhookConfiguration in step with the policies. On
// doubt it leaves what stands: an entry that is missing lets pods pass that nobody judged.
type configurationReconciler struct {
	client  client.Client
	options *webhookOptions
}

func (r *configurationReconciler) setup(mgr manager.Manager) error {
	return builder.ControllerManagedBy(mgr).Named("webhook-configuration").
		Watches(&v1alpha1.IsolationPolicy{}, coalesced(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, coalesced(), builder.WithPredicates(called(r.options.Namespace, v1alpha1.WebhookSecretName))).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, coalesced(),
			builder.WithPredicates(called("", v1alpha1.WebhookConfigurationName))).
		WithOptions(controller.Options{RateLimiter: patience()}).
		Complete(r)
}

// Reconcile writes the configuration if it is not as it should be.
func (r *configurationReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret := client.ObjectKey{Namespace: r.options.Namespace, Name: v1alpha1.WebhookSecretName}
	ca, err := r.authority(ctx, secret)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(ca) == 0 {
		logf.FromContext(ctx).Info("The webhook has no certificate yet: the configuration stays as it is", "secret", secret)
		return reconcile.Result{}, nil
	}
	var policies v1alpha1.IsolationPolicyList
	if err := r.client.List(ctx, &policies); err != nil {
		return reconcile.Result{}, fmt.Errorf("list IsolationPolicies: %w", err)
	}
	err = r.write(ctx, webhookConfiguration(policies.Items, ca, r.options))
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		// What somebody else wrote is on its way here.
		return reconcile.Result{RequeueAfter: pace}, nil
	}
	return reconcile.Result{}, err
}

// authority is the certificate by which the API server knows the webhook; empty if there is none yet.
func (r *configurationReconciler) authority(ctx context.Context, key client.ObjectKey) ([]byte, error) {
	var secret corev1.Secret
	err := r.client.Get(ctx, key, &secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return secret.Data[caKey], nil
}

// write makes what stands as it is wanted. Labels and annotations that others put there stay.
func (r *configurationReconciler) write(ctx context.Context, want *admissionregistrationv1.ValidatingWebhookConfiguration) error {
	log := logf.FromContext(ctx)
	var stands admissionregistrationv1.ValidatingWebhookConfiguration
	err := r.client.Get(ctx, client.ObjectKeyFromObject(want), &stands)
	if apierrors.IsNotFound(err) {
		if err := r.client.Create(ctx, want); err != nil {
			return fmt.Errorf("create ValidatingWebhookConfiguration %q: %w", want.Name, err)
		}
		log.Info("Created the webhook configuration", "entries", len(want.Webhooks))
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ValidatingWebhookConfiguration %q: %w", want.Name, err)
	}
	if equality.Semantic.DeepEqual(stands.Webhooks, want.Webhooks) {
		return nil
	}
	base := stands.DeepCopy()
	stands.Webhooks = want.Webhooks
	if err := r.client.Patch(ctx, &stands, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("write ValidatingWebhookConfiguration %q: %w", want.Name, err)
	}
	log.Info("Changed the webhook configuration", "entries", len(want.Webhooks))
	return nil
}
