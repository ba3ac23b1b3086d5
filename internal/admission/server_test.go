// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// serving starts a server until ctx ends; what Start returned comes out of the channel.
func serving(ctx context.Context, t *testing.T, h http.Handler, certs *certificates) (address string, ended <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: listener.Addr().String(), certs: certs, handler: h, log: logr.Discard()}
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, listener) }()
	return listener.Addr().String(), done
}

// caller is an API server that trusts these authorities.
func caller(authorities []byte, keepAlive bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: serviceName}, DisableKeepAlives: !keepAlive,
	}}
}

func call(c *http.Client, address string, body []byte) error {
	resp, err := c.Post("https://"+address+"/?timeout=10s", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

func TestRotatingCertificatesUnderLoadLosesNoReview(t *testing.T) {
	g := NewWithT(t)
	certs, clk := emptySecret(t)
	clk.SetTime(time.Now())
	secret := secretOf(t, certs)
	certs.load(t.Context(), secret)
	ctx, stop := context.WithCancel(t.Context())
	address, ended := serving(ctx, t, endpointOf(handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny)))), certs)

	// What the webhook configuration says lags behind the Secret.
	var trusted atomic.Value
	trusted.Store(bytes.Clone(secret.Data[caCertKey]))
	body := bodyOf(t, creation(t, podOf()))
	var calls, lost atomic.Int64
	var clients sync.WaitGroup
	loading, done := context.WithCancel(t.Context())
	for i := range 8 {
		clients.Go(func() {
			for loading.Err() == nil {
				// Half of them shake hands for every call, half keep a connection for a while.
				c := caller(trusted.Load().([]byte), i%2 == 0)
				for range 5 {
					calls.Add(1)
					if err := call(c, address, body); err != nil {
						lost.Add(1)
						t.Log(err)
					}
				}
				c.CloseIdleConnections()
			}
		})
	}
	seen := func(more int64) {
		least := calls.Load() + more
		g.Eventually(calls.Load).WithTimeout(time.Minute).Should(BeNumerically(">=", least))
	}
	for range 3 {
		seen(40)
		delete(secret.Data, serverCertKey)
		_, changed, err := certs.renew(secret)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(changed).To(BeTrue())
		certs.load(t.Context(), secret)
	}
	seen(40)
	delete(secret.Data, caKeyKey) // so that the authority must be made anew
	look, _, err := certs.renew(secret)
	g.Expect(err).NotTo(HaveOccurred())
	certs.load(t.Context(), secret)
	seen(40)
	trusted.Store(bytes.Clone(secret.Data[caCertKey]))
	seen(80)
	before := certs.loaded.Load()
	clk.SetTime(clk.Now().Add(look))
	_, changed, err := certs.renew(secret)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(BeTrue())
	certs.load(t.Context(), secret)
	g.Expect(certs.loaded.Load()).NotTo(BeIdenticalTo(before))
	seen(80)
	done()
	clients.Wait()
	g.Expect(lost.Load()).To(BeZero(), "of %d", calls.Load())
	stop()
	g.Eventually(ended).WithTimeout(time.Minute).Should(Receive(BeNil()))
}

func TestAReviewThatHasBegunIsAnsweredWhenTheServerStops(t *testing.T) {
	g := NewWithT(t)
	certs, _ := emptySecret(t)
	certs.clock = clockNow{}
	secret := secretOf(t, certs)
	certs.load(t.Context(), secret)
	begun, finish := make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	address, ended := serving(ctx, t, endpointOf(handlerFunc(func(context.Context) (*answer, error) {
		close(begun)
		<-finish
		return allowed("1"), nil
	})), certs)
	answered := make(chan error, 1)
	go func() { answered <- call(caller(secret.Data[caCertKey], true), address, []byte("{}")) }()
	g.Eventually(begun).WithTimeout(time.Minute).Should(BeClosed())
	stop()
	g.Eventually(func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	}).WithTimeout(time.Minute).Should(HaveOccurred(), "nobody new is let in")
	g.Expect(ended).NotTo(Receive())
	close(finish)
	g.Eventually(answered).WithTimeout(time.Minute).Should(Receive(BeNil()))
	g.Eventually(ended).WithTimeout(time.Minute).Should(Receive(BeNil()))
}

type clockNow struct{}

func (clockNow) Now() time.Time                  { return time.Now() }
func (clockNow) Since(t time.Time) time.Duration { return time.Since(t) }

func TestAReplicaLingersAfterItWasAskedToEnd(t *testing.T) {
	g := NewWithT(t)
	asked, ask := context.WithCancel(t.Context())
	ctx := Linger(asked, 300*time.Millisecond)
	g.Expect(ctx.Err()).NotTo(HaveOccurred())
	start := time.Now()
	ask()
	<-ctx.Done()
	g.Expect(time.Since(start)).To(BeNumerically(">=", 300*time.Millisecond))
}

func TestNothingIsServedWithoutACertificate(t *testing.T) {
	g := NewWithT(t)
	certs, _ := emptySecret(t)
	ctx, stop := context.WithCancel(t.Context())
	address, ended := serving(ctx, t, endpointOf(handlerOf()), certs)
	g.Expect(call(caller(nil, false), address, []byte("{}"))).To(MatchError(ContainSubstring("tls: ")))
	stop()
	g.Eventually(ended).WithTimeout(time.Minute).Should(Receive(BeNil()))
}
