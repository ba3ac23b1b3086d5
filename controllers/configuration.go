// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// caKey is the authority's certificate in the webhook's Secret.
const caKey = "ca.crt"

// configure writes the webhook configuration if it is not as it should be. On doubt it leaves what
// stands: an entry that is missing lets pods pass that nobody judged.
func (r *admissionReconciler) configure(ctx context.Context, policies []v1alpha1.IsolationPolicy, without uids) error {
	secret := client.ObjectKey{Namespace: r.options.Namespace, Name: v1alpha1.WebhookSecretName}
	ca, err := r.authority(ctx, secret)
	if err != nil {
		return err
	}
	if len(ca) == 0 {
		logf.FromContext(ctx).Info("The webhook has no certificate yet: the configuration stays as it is", "secret", secret)
		return nil
	}
	return r.writeConfiguration(ctx, webhookConfiguration(policies, without, ca, r.options))
}

// authority is the certificate by which the API server knows the webhook; empty if there is none yet.
func (r *admissionReconciler) authority(ctx context.Context, key client.ObjectKey) ([]byte, error) {
	var secret corev1.Secret
	err := r.client.Get(ctx, key, &secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return secret.Data[caKey], nil
}

// RBAC cannot limit create to a name.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=bulkhead,verbs=patch

// writeConfiguration makes what stands as it is wanted. Labels and annotations that others put there stay.
func (r *admissionReconciler) writeConfiguration(ctx context.Context, want *admissionregistrationv1.ValidatingWebhookConfiguration) error {
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
