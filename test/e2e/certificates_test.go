// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("While everybody creates pods, the Secret with the webhook's certificates", Serial, Ordered, func() {
	BeforeAll(func() {
		k.denying("sealed", v1alpha1.EngineValidatingAdmissionPolicy, `
isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container}
portals: {privileged: Forbid, hostPaths: {}, hostPorts: {}}`)
	})

	DescribeTable("is spoilt: the manager makes another certificate, and nobody gets in meanwhile", func(data func(now map[string][]byte) map[string][]byte) {
		w := k.crowded()
		wrong := data(k.certificates().Data)
		patch, err := json.Marshal(map[string]any{"data": wrong})
		Expect(err).NotTo(HaveOccurred())
		began := time.Now()
		k.mustKubectl("-n", "bulkhead-system", "patch", "secret", v1alpha1.WebhookSecretName, "--type=merge", "-p", string(patch))
		k.certified(wrong["tls.crt"])
		w.settle()
		AddReportEntry(CurrentSpecReport().LeafNodeText,
			fmt.Sprintf("everybody is judged again after %s", time.Since(began).Round(time.Millisecond)), ReportEntryVisibilityAlways)
		w.stands(false)
	},
		Entry("by a certificate that has ended", func(now map[string][]byte) map[string][]byte {
			ca, err := tls.X509KeyPair(now["ca.crt"], now["ca.key"])
			Expect(err).NotTo(HaveOccurred())
			return ended(&ca)
		}),
		Entry("by a certificate and an authority that have ended", func(map[string][]byte) map[string][]byte { return ended(nil) }),
		Entry("by what is no certificate", func(map[string][]byte) map[string][]byte {
			return map[string][]byte{"tls.crt": []byte("not this"), "tls.key": []byte("nor this")}
		}),
		Entry("by being emptied", func(map[string][]byte) map[string][]byte { return nil }),
	)

	It("is deleted: the certificate in memory serves on, and one is made when the Secret is installed again", func() {
		w := k.crowded()
		k.mustKubectl("-n", "bulkhead-system", "delete", "secret", v1alpha1.WebhookSecretName)
		deleted := time.Now()
		DeferCleanup(k.kubectl, "", "apply", "--server-side", "-f", "../../config/webhook/secret.yaml")
		w.settle()
		Consistently(func() []attempt { return with(w.judged.since(deleted), unjudged, refused) }).
			WithTimeout(10*time.Second).Should(BeEmpty(), "compliant pods pass meanwhile")
		k.mustKubectl("apply", "--server-side", "-f", "../../config/webhook/secret.yaml")
		k.certified(nil)
		w.settle()
		w.stands(false)
	})

	It("rotates without a call being lost", func() {
		w := k.crowded()
		before := k.certificates()
		began := time.Now()
		// A certificate of the same authority with an end that is near is replaced at once.
		ca, err := tls.X509KeyPair(before.Data["ca.crt"], before.Data["ca.key"])
		Expect(err).NotTo(HaveOccurred())
		cert, key := signed(&ca, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		patch, err := json.Marshal(map[string]any{"data": map[string][]byte{"tls.crt": cert, "tls.key": key}})
		Expect(err).NotTo(HaveOccurred())
		k.mustKubectl("-n", "bulkhead-system", "patch", "secret", v1alpha1.WebhookSecretName, "--type=merge", "-p", string(patch))
		k.certified(cert)
		w.settle()
		for _, p := range []*prober{w.judged, w.webhook} {
			lost := with(p.since(began), unjudged, unanswered)
			Expect(lost).To(BeEmpty(), "%s: %d calls were lost:\n%s", p.name, len(lost), describe(lost))
		}
		w.stands(false)
	})
})

func (c *cluster) certificates() *corev1.Secret {
	GinkgoHelper()
	out := &corev1.Secret{}
	Expect(c.get(out, "secret", v1alpha1.WebhookSecretName, "-n", "bulkhead-system")).To(Succeed())
	return out
}

// certified waits until the Secret has a certificate that is good, and not that one.
func (c *cluster) certified(not []byte) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		s := &corev1.Secret{}
		g.Expect(c.get(s, "secret", v1alpha1.WebhookSecretName, "-n", "bulkhead-system")).To(Succeed())
		g.Expect(bytes.Equal(s.Data["tls.crt"], not)).To(BeFalse(), "it has not been replaced")
		pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
		g.Expect(err).NotTo(HaveOccurred())
		roots := x509.NewCertPool()
		g.Expect(roots.AppendCertsFromPEM(s.Data["ca.crt"])).To(BeTrue())
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: v1alpha1.WebhookServiceName + ".bulkhead-system.svc"})
		g.Expect(err).NotTo(HaveOccurred())
	}).WithTimeout(2 * time.Minute).Should(Succeed())
}

// ended is data for the Secret that was good until an hour ago: a certificate of that authority, or
// of one that has ended with it.
func ended(ca *tls.Certificate) map[string][]byte {
	GinkgoHelper()
	from, until := time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
	out := map[string][]byte{}
	if ca == nil {
		out["ca.crt"], out["ca.key"] = signed(nil, from, until)
		pair, err := tls.X509KeyPair(out["ca.crt"], out["ca.key"])
		Expect(err).NotTo(HaveOccurred())
		ca = &pair
	}
	out["tls.crt"], out["tls.key"] = signed(ca, from, until)
	return out
}

// signed makes a certificate for the webhook's Service, or an authority if ca is nil.
func signed(ca *tls.Certificate, from, until time.Time) (cert, key []byte) {
	GinkgoHelper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: from, NotAfter: until,
		Subject: pkix.Name{CommonName: "bulkhead-ca", Organization: []string{"bulkhead"}},
	}
	parent, signer := template, any(private)
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		name := v1alpha1.WebhookServiceName + ".bulkhead-system.svc"
		template.Subject, template.DNSNames = pkix.Name{CommonName: name}, []string{name}
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	Expect(err).NotTo(HaveOccurred())
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	Expect(err).NotTo(HaveOccurred())
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
