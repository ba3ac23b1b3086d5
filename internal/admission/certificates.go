// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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
)

// certificates keeps the Secret filled and hands its certificate to the TLS server.
//
// cert-controller makes and verifies certificates. Its own loop is not used: it waits for a
// mounted volume, which the kubelet fills a minute late, and reads every Secret of the namespace.
// Here each replica serves from memory what it reads in that one Secret, and any may write it:
// the first write wins, the API server refuses the others, and they read the winner's.
type certificates struct {
	client client.Client
	secret client.ObjectKey
	maker  rotator.CertRotator
	clock  clock.PassiveClock
	loaded atomic.Pointer[tls.Certificate]
}

func newCertificates(c client.Client, secret client.ObjectKey, names []string, clk clock.PassiveClock) *certificates {
	return &certificates{
		client: c, secret: secret, clock: clk,
		maker: rotator.CertRotator{
			CAName: "bulkhead-ca", CAOrganization: "bulkhead",
			DNSName: names[0], ExtraDNSNames: names[1:],
			ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		},
	}
}

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
	if c.lasts(&secret) {
		return reconcile.Result{RequeueAfter: lookEvery}, nil
	}
	if err := c.renew(&secret); err != nil {
		return reconcile.Result{}, fmt.Errorf("make the webhook's certificate: %w", err)
	}
	if err := c.client.Update(ctx, &secret); err != nil {
		if apierrors.IsConflict(err) {
			// Another replica was first. What it wrote is on its way here.
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, fmt.Errorf("write Secret %s: %w", c.secret, err)
	}
	c.load(ctx, &secret)
	return reconcile.Result{RequeueAfter: lookEvery}, nil
}

// load serves the Secret's certificate, if it is one. Otherwise the last one stays.
func (c *certificates) load(ctx context.Context, s *corev1.Secret) {
	pair, err := tls.X509KeyPair(s.Data[serverCertKey], s.Data[serverKeyKey])
	if err != nil {
		return
	}
	if before := c.loaded.Load(); before != nil && before.Leaf.Equal(pair.Leaf) {
		return
	}
	c.loaded.Store(&pair)
	logf.FromContext(ctx).Info("Serving with the certificate in the Secret", "until", pair.Leaf.NotAfter)
}

// lasts tells whether authority and certificate are valid, for all names, for long enough.
func (c *certificates) lasts(s *corev1.Secret) bool {
	at := c.clock.Now().Add(renewBefore)
	if !c.authorityLasts(s, at) {
		return false
	}
	for _, name := range append([]string{c.maker.DNSName}, c.maker.ExtraDNSNames...) {
		if ok, err := rotator.ValidCert(s.Data[caCertKey], s.Data[serverCertKey], s.Data[serverKeyKey], name, c.maker.ExtKeyUsages, at); err != nil || !ok {
			return false
		}
	}
	return true
}

func (c *certificates) authorityLasts(s *corev1.Secret, at time.Time) bool {
	ok, err := rotator.ValidCert(s.Data[caCertKey], s.Data[caCertKey], s.Data[caKeyKey], c.maker.CAName, nil, at)
	return err == nil && ok
}

// renew puts a new certificate into s, and a new authority if the old one does not last.
func (c *certificates) renew(s *corev1.Secret) error {
	now := c.clock.Now()
	// Clocks differ between this node and the API server's.
	begin := now.Add(-time.Hour)
	var authority *rotator.KeyPairArtifacts
	var err error
	if c.authorityLasts(s, now.Add(renewBefore)) {
		authority, err = authorityOf(s)
	} else {
		authority, err = c.maker.CreateCACert(begin, now.Add(caLifetime))
	}
	if err != nil {
		return err
	}
	cert, key, err := c.maker.CreateCertPEM(authority, begin, now.Add(serverLifetime))
	if err != nil {
		return err
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	s.Data[caCertKey], s.Data[caKeyKey] = authority.CertPEM, authority.KeyPEM
	s.Data[serverCertKey], s.Data[serverKeyKey] = cert, key
	return nil
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
