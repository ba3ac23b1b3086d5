// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const serviceName = "bulkhead-webhook.bulkhead-system.svc"

// emptySecret is what an installation starts with.
func emptySecret(t testing.TB) (*certificates, *clocktesting.FakePassiveClock) {
	t.Helper()
	clk := clocktesting.NewFakePassiveClock(today)
	return newCertificates(nil, client.ObjectKey{Namespace: "bulkhead-system", Name: "bulkhead-webhook-cert"}, []string{serviceName, "localhost"}, clk), clk
}

// secretOf is a Secret that was filled now.
func secretOf(t testing.TB, c *certificates) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if _, _, err := c.renew(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func certIn(t testing.TB, s *corev1.Secret, key string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(s.Data[key])
	if block == nil {
		t.Fatalf("no PEM in %s", key)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// lasts tells whether nothing in the Secret has to be made anew.
func lasts(t testing.TB, c *certificates, s *corev1.Secret) bool {
	t.Helper()
	_, changed, err := c.renew(s.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	return !changed
}

func TestAnEmptySecretIsFilledWithACertificateForEveryName(t *testing.T) {
	g := NewWithT(t)
	c, _ := emptySecret(t)
	g.Expect(lasts(t, c, &corev1.Secret{})).To(BeFalse())
	s := secretOf(t, c)
	g.Expect(lasts(t, c, s)).To(BeTrue())
	roots := x509.NewCertPool()
	roots.AddCert(certIn(t, s, caCertKey))
	for _, name := range []string{serviceName, "localhost"} {
		_, err := certIn(t, s, serverCertKey).Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: today})
		g.Expect(err).NotTo(HaveOccurred())
	}
	var expiry float64
	c.expiry = func(seconds float64) { expiry = seconds }
	c.load(t.Context(), s)
	served, err := c.getCertificate(nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(served.Leaf.Equal(certIn(t, s, serverCertKey))).To(BeTrue())
	g.Expect(expiry).To(BeEquivalentTo(served.Leaf.NotAfter.Unix()))
}

func TestTheAuthorityOutlivesTheCertificate(t *testing.T) {
	g := NewWithT(t)
	c, clk := emptySecret(t)
	s := secretOf(t, c)
	authority, server := certIn(t, s, caCertKey), certIn(t, s, serverCertKey)

	clk.SetTime(today.Add(serverLifetime - renewBefore - time.Hour))
	g.Expect(lasts(t, c, s)).To(BeTrue())
	clk.SetTime(today.Add(serverLifetime - renewBefore + time.Hour))
	look, changed, err := c.renew(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(BeTrue())
	g.Expect(look).To(Equal(lookEvery))
	g.Expect(lasts(t, c, s)).To(BeTrue())
	g.Expect(certIn(t, s, caCertKey).Equal(authority)).To(BeTrue(), "the API server trusts the new certificate at once")
	g.Expect(certIn(t, s, serverCertKey).Equal(server)).To(BeFalse())
}

func TestANewAuthorityIsTrustedBeforeItMakesACertificate(t *testing.T) {
	g := NewWithT(t)
	c, clk := emptySecret(t)
	s := secretOf(t, c)
	begin := today.Add(caLifetime - renewBefore - 24*time.Hour)
	clk.SetTime(begin)
	_, _, err := c.renew(s)
	g.Expect(err).NotTo(HaveOccurred())
	old, served := certIn(t, s, caCertKey), certIn(t, s, serverCertKey)

	clk.SetTime(begin.Add(2 * 24 * time.Hour))
	look, changed, err := c.renew(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(BeTrue())
	g.Expect(look).To(Equal(trustedAfter))
	authorities := authoritiesIn(s.Data[caCertKey])
	g.Expect(authorities).To(HaveLen(2))
	g.Expect(authorities[0].Equal(old)).To(BeFalse())
	g.Expect(authorities[1].Equal(old)).To(BeTrue(), "who trusts the old one only still trusts what is served")
	g.Expect(certIn(t, s, serverCertKey).Equal(served)).To(BeTrue())
	g.Expect(lasts(t, c, s)).To(BeTrue(), "until the time is over")

	clk.SetTime(clk.Now().Add(look))
	_, changed, err = c.renew(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(BeTrue())
	next := certIn(t, s, serverCertKey)
	g.Expect(next.CheckSignatureFrom(authorities[0])).To(Succeed())
	g.Expect(authoritiesIn(s.Data[caCertKey])).To(HaveLen(2), "a replica may still serve the old one")
	g.Expect(lasts(t, c, s)).To(BeTrue())
}

func TestWhatIsWrongInTheSecretIsMadeAnew(t *testing.T) {
	c, _ := emptySecret(t)
	other, _ := emptySecret(t)
	for name, spoil := range map[string]func(*corev1.Secret){
		"a certificate that is none":       func(s *corev1.Secret) { s.Data[serverCertKey] = []byte("-----BEGIN") },
		"an authority that is none":        func(s *corev1.Secret) { s.Data[caCertKey] = []byte("-----BEGIN") },
		"a certificate with another's key": func(s *corev1.Secret) { s.Data[serverKeyKey] = s.Data[caKeyKey] },
		"a certificate of another authority": func(s *corev1.Secret) {
			o := secretOf(t, other)
			s.Data[caCertKey], s.Data[caKeyKey] = o.Data[caCertKey], o.Data[caKeyKey]
		},
		"a certificate without one of our names": func(s *corev1.Secret) {
			fewer := newCertificates(nil, c.secret, []string{serviceName}, c.clock)
			s.Data = secretOf(t, fewer).Data
		},
		"an authority and a certificate that have ended": func(s *corev1.Secret) {
			past, clk := emptySecret(t)
			clk.SetTime(today.Add(-caLifetime - time.Hour))
			s.Data = secretOf(t, past).Data
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := secretOf(t, c)
			spoil(s)
			look, changed, err := c.renew(s)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(changed).To(BeTrue())
			g.Expect(look).To(Equal(lookEvery), "at once")
			g.Expect(lasts(t, c, s)).To(BeTrue())
		})
	}
}

func TestAnAuthorityWhoseKeyIsLostIsReplacedAndStillTrusted(t *testing.T) {
	g := NewWithT(t)
	c, clk := emptySecret(t)
	s := secretOf(t, c)
	delete(s.Data, caKeyKey)
	look, changed, err := c.renew(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(BeTrue())
	g.Expect(authoritiesIn(s.Data[caCertKey])).To(HaveLen(2))
	clk.SetTime(clk.Now().Add(look))
	_, changed, err = c.renew(s)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(BeTrue())
	g.Expect(lasts(t, c, s)).To(BeTrue())
}

func TestAuthoritiesWhoseKeysAreLostAtOnceAreAllTrustedUpToABound(t *testing.T) {
	g := NewWithT(t)
	c, _ := emptySecret(t)
	s := secretOf(t, c)
	first := certIn(t, s, caCertKey)
	for n := 2; n <= 6; n++ {
		delete(s.Data, caKeyKey)
		_, changed, err := c.renew(s)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(changed).To(BeTrue())
		all := authoritiesIn(s.Data[caCertKey])
		g.Expect(all).To(HaveLen(min(n, maxAuthorities)))
		g.Expect(slices.ContainsFunc(all, first.Equal)).To(Equal(n <= maxAuthorities))
		if n == 3 {
			g.Expect(c.servedLasts(s, today)).To(BeTrue(), "the certificate of the first is still served")
		}
	}
}

func TestACertificateThatNobodyTrustsDoesNotReplaceTheOneInMemory(t *testing.T) {
	g := NewWithT(t)
	c, clk := emptySecret(t)
	good := secretOf(t, c)
	c.load(t.Context(), good)
	for name, pair := range map[string]map[string][]byte{
		"of another authority": secretOf(t, c).Data,
		"that has ended": func() map[string][]byte {
			clk.SetTime(today.Add(-2 * serverLifetime))
			defer clk.SetTime(today)
			return secretOf(t, c).Data
		}(),
	} {
		s := good.DeepCopy()
		s.Data[serverCertKey], s.Data[serverKeyKey] = pair[serverCertKey], pair[serverKeyKey]
		c.load(t.Context(), s)
		served, err := c.getCertificate(nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(served.Leaf.Equal(certIn(t, good, serverCertKey))).To(BeTrue(), name)
	}
}

func TestAWrongSecretDoesNotReplaceTheCertificateInMemory(t *testing.T) {
	g := NewWithT(t)
	c, _ := emptySecret(t)
	_, err := c.getCertificate(nil)
	g.Expect(err).To(MatchError(ContainSubstring("bulkhead-system/bulkhead-webhook-cert")))
	s := secretOf(t, c)
	c.load(t.Context(), s)
	c.load(t.Context(), &corev1.Secret{})
	_, err = c.getCertificate(nil)
	g.Expect(err).NotTo(HaveOccurred())
}
