// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Two replicas", func() {
	secret := func(ctx context.Context) *corev1.Secret {
		GinkgoHelper()
		s := &corev1.Secret{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: v1alpha1.WebhookSecretName}, s)).To(Succeed())
		return s
	}
	// served is the certificate of the replica, verified by the authority in the Secret.
	served := func(ctx context.Context, r replica, name string) ([]byte, error) {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(secret(ctx).Data["ca.crt"])
		conn, err := tls.Dial("tcp", r.webhook, &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			return nil, err
		}
		return conn.ConnectionState().PeerCertificates[0].Raw, conn.Close()
	}

	It("come up at once from an empty Secret and serve one certificate, whoever leads", func(ctx context.Context) {
		var seen [][]byte
		for _, r := range replicas {
			for _, name := range []string{"bulkhead-webhook.bulkhead-system.svc", "localhost"} {
				cert, err := served(ctx, r, name)
				Expect(err).NotTo(HaveOccurred())
				seen = append(seen, cert)
			}
		}
		Expect(seen).To(HaveEach(Equal(seen[0])))
	})

	It("make and serve a new certificate when it is taken out of the Secret, of the same authority", func(ctx context.Context) {
		before, err := served(ctx, replicas[0], "localhost")
		Expect(err).NotTo(HaveOccurred())
		authority := secret(ctx).Data["ca.crt"]
		Expect(admin.Patch(ctx, secret(ctx), client.RawPatch(types.MergePatchType, []byte(`{"data":{"tls.crt":null}}`)))).To(Succeed())
		for _, r := range replicas {
			Eventually(func() ([]byte, error) { return served(ctx, r, "localhost") }).ShouldNot(Equal(before))
		}
		first, err := served(ctx, replicas[0], "localhost")
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() ([]byte, error) { return served(ctx, replicas[1], "localhost") }).Should(Equal(first))
		Expect(secret(ctx).Data["ca.crt"]).To(Equal(authority))
		Expect(admin.Create(ctx, podIn(namespace(ctx)))).To(Succeed(), "the API server trusts it as before")
	})

	It("each say what they serve on a Lease that goes with their pod", func(ctx context.Context) {
		p := serve(ctx, policyFor(namespace(ctx), v1alpha1.Audit))
		for _, r := range replicas {
			l, err := r.lease(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Labels).To(HaveKeyWithValue(v1alpha1.LabelLease, v1alpha1.LeaseWebhook))
			Expect(l.Spec.HolderIdentity).To(HaveValue(Equal(r.name)))
			Expect(l.OwnerReferences).To(HaveLen(1))
			Expect(l.OwnerReferences[0].UID).To(Equal(r.uid))

			By("renewing it while nothing changes")
			renewed := l.Spec.RenewTime.Time
			Eventually(func(g Gomega, ctx context.Context) {
				l, err := r.lease(ctx)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(l.Spec.RenewTime.After(renewed)).To(BeTrue())
				g.Expect(v1alpha1.ParseServed(l.Annotations[v1alpha1.AnnotationServed])).To(HaveKeyWithValue(p.UID, p.Generation))
			}).WithContext(ctx).Should(Succeed())
		}
	})
})
