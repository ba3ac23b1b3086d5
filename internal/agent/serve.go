// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health tells whether the agent does its work.
type health struct {
	board *board
	// stuck is how old the last look may be: beyond, the agent does not work.
	stuck time.Duration
	now   func() time.Time
	start time.Time
	// published is set once the report says what was seen.
	published atomic.Bool
}

// alive tells why the agent does not work; nil if it does. An API server that is away is no reason.
func (h *health) alive() error {
	_, looked := h.board.get()
	if looked.Before(h.start) {
		looked = h.start
	}
	if age := h.now().Sub(looked); age > h.stuck {
		return fmt.Errorf("no look succeeded for %s", age.Round(time.Second))
	}
	return nil
}

// ready tells why the agent does not serve yet; nil if it does.
func (h *health) ready() error {
	if !h.published.Load() {
		return errors.New("the node's report has not been written yet")
	}
	return h.alive()
}

// handler serves metrics and health.
func handler(m *metrics, h *health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	probe := func(check func() error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		}
	}
	mux.Handle("GET /healthz", probe(h.alive))
	mux.Handle("GET /readyz", probe(h.ready))
	return mux
}

// serve answers on the listener until the context ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() {
		// The context is over; the last answers get a moment of their own.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(last)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and health on %s: %w", listener.Addr(), err)
	}
	return nil
}
