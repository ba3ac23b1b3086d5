// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"context"
	"fmt"
	"net/url"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// byURL makes a client for which the webhook stands behind its Service, while the API server, which
// has no network of Services here, is told its URL.
func byURL(c *rest.Config, o client.Options) (client.Client, error) {
	inner, err := client.New(c, o)
	return &urlClient{inner}, err
}

type urlClient struct{ client.Client }

type configuration = admissionregistrationv1.ValidatingWebhookConfiguration

func (c *urlClient) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, o, opts...)
	if w, ok := o.(*configuration); ok && err == nil {
		for i := range w.Webhooks {
			toService(&w.Webhooks[i].ClientConfig)
		}
	}
	return err
}

func (c *urlClient) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	if w, ok := o.(*configuration); ok {
		o = toURL(w)
	}
	return c.Client.Create(ctx, o, opts...)
}

// Patch takes the patch for what it is known to be here: that of the whole, over what was read.
func (c *urlClient) Patch(ctx context.Context, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	w, ok := o.(*configuration)
	if !ok {
		return c.Client.Patch(ctx, o, patch, opts...)
	}
	var stands configuration
	if err := cluster.Get(ctx, client.ObjectKeyFromObject(w), &stands); err != nil {
		return err
	}
	if w.ResourceVersion != stands.ResourceVersion {
		return c.Client.Patch(ctx, o, patch, opts...) // a conflict, as it should be
	}
	stated := stands.DeepCopy()
	stated.Webhooks = toURL(w).Webhooks
	return c.Client.Patch(ctx, stated, client.MergeFromWithOptions(&stands, client.MergeFromWithOptimisticLock{}), opts...)
}

func toURL(w *configuration) *configuration {
	w = w.DeepCopy()
	for i := range w.Webhooks {
		to := &w.Webhooks[i].ClientConfig
		to.URL, to.Service = ptr.To(fmt.Sprintf("https://localhost:%d%s", port, *to.Service.Path)), nil
	}
	return w
}

func toService(c *admissionregistrationv1.WebhookClientConfig) {
	if c.URL == nil {
		return
	}
	at, err := url.Parse(*c.URL)
	Expect(err).NotTo(HaveOccurred())
	path := at.Path
	c.URL, c.Service = nil, &admissionregistrationv1.ServiceReference{
		Namespace: installed, Name: v1alpha1.WebhookServiceName, Path: ptr.To(path), Port: ptr.To[int32](443),
	}
}
