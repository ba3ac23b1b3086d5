// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const (
	// readTimeout bounds headers and body: the API server sends both at once. net/http takes it for the
	// handshake as well.
	readTimeout = 10 * time.Second
	// idleTimeout is longer than the 90 s after which the API server closes a connection that it
	// does not use: if the server closed it, a review could be on its way at that moment.
	idleTimeout = 5 * time.Minute
	// drainTimeout is how long reviews that have begun may take once the server stops.
	drainTimeout = 8 * time.Second
	// maxHeader bounds headers: the API server sends few.
	maxHeader = 16 << 10
)

// server listens for the API server.
type server struct {
	address string
	certs   *certificates
	handler http.Handler
	log     logr.Logger
	listens atomic.Bool
	// most connections there may be at a time; 0 stands for maxConnections.
	most int
}

// NeedLeaderElection is false: every replica serves.
func (*server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends, and then answers what has begun.
func (s *server) Start(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for the API server: %w", err)
	}
	return s.serve(ctx, listener)
}

func (s *server) serve(ctx context.Context, listener net.Listener) error {
	callers := newConnections(cmp.Or(s.most, maxConnections))
	h := &http.Server{
		Handler: callers.receive(s.handler),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: s.certs.getCertificate,
			// The API server speaks HTTP/1.1 to webhooks, so that it spreads calls over replicas.
			NextProtos: []string{"http/1.1"},
		},
		ReadTimeout: readTimeout, WriteTimeout: readTimeout + maxPatience, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ConnContext:    callers.admit,
		ConnState:      callers.follow,
		ErrorLog:       quiet(s.log),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		s.listens.Store(false)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		stopped <- h.Shutdown(drain)
	}()
	s.listens.Store(true)
	s.log.Info("Listening for the API server", "address", listener.Addr().String())
	if err := h.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the webhooks: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("answer the last reviews: %w", err)
	}
	return nil
}

// quiet logs what net/http has to say of connections, such as handshakes that were given up.
func quiet(l logr.Logger) *log.Logger { return log.New(errorLog{l}, "", 0) }

type errorLog struct{ logr.Logger }

func (l errorLog) Write(line []byte) (int, error) {
	l.V(1).Info("A connection failed", "reason", isolation.Sanitize(strings.TrimSpace(string(line)), maxLine))
	return len(line), nil
}

func (s *server) ready() error {
	if !s.listens.Load() {
		return fmt.Errorf("nothing listens on %s", s.address)
	}
	return nil
}

// Linger is a context that ends some time after the one that it is given: between the two a replica
// that was asked to end (SIGTERM) is no longer ready, and still answers. Kubernetes takes a pod out
// of its Service at the same time as it asks it to end, and the news takes a moment to reach
// everybody who would send it a review. Everything else runs on as well: what is answered in that
// time is judged by the policies of that time.
func Linger(asked context.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithCancel(context.WithoutCancel(asked))
	context.AfterFunc(asked, func() { time.AfterFunc(d, cancel) })
	return ctx
}
