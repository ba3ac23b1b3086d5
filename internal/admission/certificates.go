// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Keys in the Secret, as cert-controller names them.
const (
	caCertKey     = "ca.crt"
	caKeyKey      = "ca.key"
	serverCertKey = corev1.TLSCertKey
	serverKeyKey  = corev1.TLSPrivateKeyKey
)

const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	// renewBefore its end a certificate is replaced.
	renewBefore = 90 * 24 * time.Hour
	// lookEvery so often whether one must be replaced.
	lookEvery = 12 * time.Hour
	// trustedAfter so long everybody trusts an authority that was added to the Secret: it has to
	// reach the webhook configuration, and from there every API server.
	trustedAfter = 10 * time.Minute
	// skew is how far the clocks of two nodes may be apart.
	skew = time.Hour
)

// certificates keeps the Secret filled and hands its certificate to the TLS server.
//
// cert-controller makes and verifies certificates. Its own loop is not used: it waits for a
// mounted volume, which the kubelet fills a minute late, and reads every Secret of the namespace.
// Here each replica serves from memory what it reads in that one Secret, and any may write it:
// the first write wins, the API server refuses the others, and they read the winner's.
//
// No call fails while they are rotated. A new certificate is of the same authority, which is
// trusted already. A new authority is put in front of the old one in the Secret, so that both are
// trusted, and makes certificates only once that is known everywhere.
type certificates struct {
	client client.Client
	secret client.ObjectKey
	maker  rotator.CertRotator
	clock  clock.PassiveClock
	loaded atomic.Pointer[tls.Certificate]
	// expiry is told when the certificate that is served ends, in seconds since 1970.
	expiry func(float64)
}

func newCertificates(c client.Client, secret client.ObjectKey, names []string, clk clock.PassiveClock) *certificates {
	return &certificates{
		client: c, secret: secret, clock: clk, expiry: func(float64) {},
		maker: rotator.CertRotator{
			CAName: "bulkhead-ca", CAOrganization: "bulkhead",
			DNSName: names[0], ExtraDNSNames: names[1:],
			ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		},
	}
}

// +kubebuilder:rbac:groups="",namespace=bulkhead-system,resources=secrets,resourceNames=bulkhead-webhook-cert,verbs=list;watch

// setup makes every replica watch the Secret.
func (c *certificates) setup(mgr manager.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return client.ObjectKeyFromObject(o) == c.secret })
	return builder.ControllerManagedBy(mgr).Named("webhook-certificate").
		For(&corev1.Secret{}, builder.WithPredicates(ours)).
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false)}).
		Complete(c)
}

// getCertificate is [tls.Config.GetCertificate].
func (c *certificates) getCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if loaded := c.loaded.Load(); loaded != nil {
		return loaded, nil
	}
	return nil, c.ready()
}

func (c *certificates) ready() error {
	if c.loaded.Load() == nil {
		return fmt.Errorf("no certificate has been read from Secret %s yet: it is part of the installation and is filled by the manager", c.secret)
	}
	return nil
}

// +kubebuilder:rbac:groups="",namespace=bulkhead-system,resources=secrets,resourceNames=bulkhead-webhook-cert,verbs=update

// Reconcile loads what the Secret holds, and fills it if that does not last.
func (c *certificates) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var secret corev1.Secret
	if err := c.client.Get(ctx, c.secret, &secret); err != nil {
		if apierrors.IsNotFound(err) {
			logf.FromContext(ctx).Info("The Secret of the webhook's certificate is gone: serving the one in memory; apply the installation again")
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read Secret %s: %w", c.secret, err)
	}
	c.load(ctx, &secret)
	look, changed, err := c.renew(&secret)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("make the webhook's certificate: %w", err)
	}
	if !changed {
		return reconcile.Result{RequeueAfter: look}, nil
	}
	if err := c.client.Update(ctx, &secret); err != nil {
		if apierrors.IsConflict(err) {
			// Another replica was first. What it wrote is on its way here.
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, fmt.Errorf("write Secret %s: %w", c.secret, err)
	}
	c.load(ctx, &secret)
	return reconcile.Result{RequeueAfter: look}, nil
}

// load serves the Secret's certificate, if it is one that anybody would trust now. Otherwise the last
// one stays: what is in the Secret is about to be replaced.
func (c *certificates) load(ctx context.Context, s *corev1.Secret) {
	pair, err := tls.X509KeyPair(s.Data[serverCertKey], s.Data[serverKeyKey])
	if err != nil {
		return
	}
	if before := c.loaded.Load(); before != nil && (before.Leaf.Equal(pair.Leaf) || !c.servedLasts(s, c.clock.Now())) {
		return
	}
	c.loaded.Store(&pair)
	c.expiry(float64(pair.Leaf.NotAfter.Unix()))
	logf.FromContext(ctx).Info("Serving with the certificate in the Secret", "until", pair.Leaf.NotAfter)
}

// renew puts into s what does not last, and says whether that is anything and when to look again.
func (c *certificates) renew(s *corev1.Secret) (look time.Duration, changed bool, err error) {
	now := c.clock.Now()
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	if !c.authorityLasts(s, now.Add(renewBefore)) {
		if err := c.renewAuthority(s, now); err != nil {
			return 0, false, err
		}
		changed = true
	}
	authority, err := authorityOf(s)
	if err != nil {
		return 0, false, err
	}
	if c.certificateLasts(s, s.Data[caCertKey], now.Add(renewBefore)) {
		return lookEvery, changed, nil
	}
	// An authority is made with a beginning before its making.
	trusted := authority.Cert.NotBefore.Add(skew + trustedAfter)
	if wait := trusted.Sub(now); wait > 0 && c.servedLasts(s, trusted.Add(skew)) {
		return wait, changed, nil
	}
	// Clocks differ between this node and the API server's.
	cert, key, err := c.maker.CreateCertPEM(authority, now.Add(-skew), now.Add(serverLifetime))
	if err != nil {
		return 0, false, err
	}
	s.Data[serverCertKey], s.Data[serverKeyKey] = cert, key
	return lookEvery, true, nil
}

// maxAuthorities is how many authorities are trusted at once: an authority whose key is lost again and
// again must not fill the Secret.
const maxAuthorities = 4

// renewAuthority puts a new authority in front of those in the Secret that have not ended.
func (c *certificates) renewAuthority(s *corev1.Secret, now time.Time) error {
	authority, err := c.maker.CreateCACert(now.Add(-skew), now.Add(caLifetime))
	if err != nil {
		return err
	}
	bundle := authority.CertPEM
	kept := 1
	for _, old := range authoritiesIn(s.Data[caCertKey]) {
		if kept < maxAuthorities && now.Before(old.NotAfter) {
			kept++
			bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Raw})...)
		}
	}
	s.Data[caCertKey], s.Data[caKeyKey] = bundle, authority.KeyPEM
	return nil
}

// certificateLasts tells whether the certificate is valid then, for all names, by the first of the
// authorities.
func (c *certificates) certificateLasts(s *corev1.Secret, authorities []byte, at time.Time) bool {
	for _, name := range append([]string{c.maker.DNSName}, c.maker.ExtraDNSNames...) {
		if ok, err := rotator.ValidCert(authorities, s.Data[serverCertKey], s.Data[serverKeyKey], name, c.maker.ExtKeyUsages, at); err != nil || !ok {
			return false
		}
	}
	return true
}

// servedLasts tells whether any authority in the Secret makes the certificate valid then.
func (c *certificates) servedLasts(s *corev1.Secret, at time.Time) bool {
	return slices.ContainsFunc(authoritiesIn(s.Data[caCertKey]), func(a *x509.Certificate) bool {
		return c.certificateLasts(s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Raw}), at)
	})
}

func (c *certificates) authorityLasts(s *corev1.Secret, at time.Time) bool {
	ok, err := rotator.ValidCert(s.Data[caCertKey], s.Data[caCertKey], s.Data[caKeyKey], c.maker.CAName, nil, at)
	return err == nil && ok
}

// authoritiesIn are the certificates in PEM, the newest first. What is none is left out.
func authoritiesIn(bundle []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return out
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, cert)
		}
	}
}

func authorityOf(s *corev1.Secret) (*rotator.KeyPairArtifacts, error) {
	pair, err := tls.X509KeyPair(s.Data[caCertKey], s.Data[caKeyKey])
	if err != nil {
		return nil, fmt.Errorf("read the authority in the Secret: %w", err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the authority's key in the Secret is no RSA key: empty the Secret to have a new one made")
	}
	return &rotator.KeyPairArtifacts{Cert: pair.Leaf, Key: key, CertPEM: s.Data[caCertKey], KeyPEM: s.Data[caKeyKey]}, nil
}
