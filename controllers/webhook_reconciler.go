// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// webhookReconciler keeps the webhook configuration in step with the policies, restores it when it
// is deleted and repairs it when it is edited. On doubt it leaves what stands: an entry without a
// certificate to trust would refuse pods for no reason, and an empty configuration would admit them.
type webhookReconciler struct {
	client  client.Client
	options webhookOptions
}

// Reconcile writes the configuration if it is not what it should be.
func (r *webhookReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var policies v1alpha1.IsolationPolicyList
	if err := r.client.List(ctx, &policies); err != nil {
		return reconcile.Result{}, fmt.Errorf("list the policies to ask about: %w", err)
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: r.options.namespace, Name: v1alpha1.WebhookSecretName}
	if err := client.IgnoreNotFound(r.client.Get(ctx, key, &secret)); err != nil {
		return reconcile.Result{}, fmt.Errorf("read the webhook's authority: %w", err)
	}
	options := r.options
	if options.caBundle = secret.Data["ca.crt"]; len(options.caBundle) == 0 {
		log.FromContext(ctx).Info("The webhook has no certificate yet; its configuration is left as it is")
		return reconcile.Result{}, nil // the Secret is watched
	}
	want := webhookEntries(policies.Items, options)

	var have admissionregistrationv1.ValidatingWebhookConfiguration
	err := r.client.Get(ctx, client.ObjectKey{Name: v1alpha1.WebhookConfigurationName}, &have)
	switch {
	case apierrors.IsNotFound(err):
		have = admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName, Labels: map[string]string{"app.kubernetes.io/name": "bulkhead"}},
			Webhooks:   want,
		}
		err = r.client.Create(ctx, &have)
	case err == nil && !apiequality.Semantic.DeepEqual(have.Webhooks, want):
		have.Webhooks = want
		err = r.client.Update(ctx, &have)
	}
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
		return reconcile.Result{}, fmt.Errorf("write the webhook configuration: %w", err)
	}
	return reconcile.Result{}, nil
}
