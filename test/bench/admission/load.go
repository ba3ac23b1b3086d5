// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

const protobufType = "application/vnd.kubernetes.protobuf"

// load sends the same pod again and again. It keeps a connection per client and does nothing that
// costs: the pod is encoded once, and what comes back is not decoded.
type load struct {
	server  *server
	base    string
	pod     []byte
	clients []*http.Client
}

func newLoad(s *server) (*load, error) {
	pod, err := body(compliantPod())
	if err != nil {
		return nil, err
	}
	return &load{server: s, base: strings.TrimSuffix(s.config.Host, "/"), pod: pod}, nil
}

// connections makes as many clients as are asked for; those that it has it keeps.
func (l *load) connections(n int) ([]*http.Client, error) {
	for len(l.clients) < n {
		config, err := rest.TLSConfigFor(l.server.config)
		if err != nil {
			return nil, fmt.Errorf("connect to the API server: %w", err)
		}
		l.clients = append(l.clients, &http.Client{Transport: &http.Transport{
			TLSClientConfig: config, MaxIdleConnsPerHost: 1, DisableCompression: true,
		}})
	}
	return l.clients[:n], nil
}

// window is one turn: what one case did with one number of clients.
type window struct {
	Case    string
	Clients int
	Round   int
	// Requests that were answered, in so many seconds.
	Requests int
	Seconds  float64
	// P50 and P99 of the time until the answer, in milliseconds.
	P50, P99 float64
	// Processor time in microseconds per request.
	APIServerCPU, EtcdCPU, ClientCPU float64
	// Reviews that the webhook was asked for, and its processor time in microseconds for each.
	Reviews   int
	ReviewCPU float64
	// OthersCPU is the share of the machine's processors that went to others than the above.
	OthersCPU float64
}

// Rate is in requests per second.
func (w *window) Rate() float64 { return float64(w.Requests) / w.Seconds }

// turn measures one case.
func (l *load) turn(ctx context.Context, m *manager, name string, clients int, d time.Duration) (*window, error) {
	url := l.base + "/api/v1/namespaces/" + namespaces[name] + "/pods?dryRun=All"
	if _, err := l.drive(ctx, url, clients, warmUp); err != nil {
		return nil, err
	}
	asked := m != nil && name == caseWebhook
	w := &window{Case: name, Clients: clients}
	if asked {
		before, err := m.reviews(ctx)
		if err != nil {
			return nil, err
		}
		w.Reviews = -before
	}
	before, err := l.server.clocks(m)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	latencies, err := l.drive(ctx, url, clients, d)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	after, err := l.server.clocks(m)
	if err != nil {
		return nil, err
	}
	used := after.since(before)
	w.fill(latencies, elapsed, used)
	if !asked {
		return w, nil
	}
	reviews, err := m.reviews(ctx)
	if err != nil {
		return nil, err
	}
	if w.Reviews += reviews; w.Reviews < w.Requests {
		return nil, fmt.Errorf("the webhook was asked %d times about %d pods", w.Reviews, w.Requests)
	}
	w.ReviewCPU = perOne(used.manager, w.Reviews)
	return w, nil
}

// fill in what the clients and the clocks saw.
func (w *window) fill(latencies []time.Duration, elapsed time.Duration, used clocks) {
	n := len(latencies)
	w.Requests, w.Seconds = n, elapsed.Seconds()
	w.P50, w.P99 = milliseconds(percentile(latencies, 50)), milliseconds(percentile(latencies, 99))
	w.APIServerCPU, w.EtcdCPU, w.ClientCPU = perOne(used.apiServer, n), perOne(used.etcd, n), perOne(used.client, n)
	w.OthersCPU = max(0, used.others().Seconds()/elapsed.Seconds()/float64(runtime.NumCPU()))
}

func perOne(d time.Duration, n int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(n)
}
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile of durations that are in order: the least that at least so many hundredths do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

// clocks is processor time used so far.
type clocks struct {
	apiServer, etcd, client, manager, machine time.Duration
}

func (c clocks) since(b clocks) clocks {
	return clocks{
		apiServer: c.apiServer - b.apiServer, etcd: c.etcd - b.etcd, client: c.client - b.client,
		manager: c.manager - b.manager, machine: c.machine - b.machine,
	}
}

func (c clocks) others() time.Duration {
	return c.machine - c.apiServer - c.etcd - c.client - c.manager
}

func (s *server) clocks(m *manager) (c clocks, err error) {
	var e [5]error
	c.apiServer, e[0] = process.CPU(s.apiServer)
	c.etcd, e[1] = process.CPU(s.etcd)
	c.client, e[2] = process.CPU(os.Getpid())
	c.machine, e[3] = process.Busy()
	if m != nil {
		c.manager, e[4] = process.CPU(m.PID())
	}
	return c, errors.Join(e[:]...)
}

// drive lets so many clients create pods for a while. It returns how long each answer took, in
// order of length.
func (l *load) drive(ctx context.Context, url string, clients int, d time.Duration) ([]time.Duration, error) {
	connections, err := l.connections(clients)
	if err != nil {
		return nil, err
	}
	took, failed := make([][]time.Duration, clients), make([]error, clients)
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for i, c := range connections {
		all.Go(func() {
			out := make([]time.Duration, 0, 4096)
			for start, over := time.Now(), false; !over; {
				if failed[i] = l.create(ctx, c, url); failed[i] != nil {
					return
				}
				now := time.Now()
				out = append(out, now.Sub(start))
				start, over = now, now.After(end)
			}
			took[i] = out
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	// Every client has sent at least one, however short the turn.
	merged := slices.Concat(took...)
	slices.Sort(merged)
	return merged, nil
}

func (l *load) create(ctx context.Context, c *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(l.pod))
	if err != nil {
		return err
	}
	r.Header["Content-Type"] = []string{protobufType}
	r.Header["Accept"] = []string{protobufType}
	answer, err := c.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
		return fmt.Errorf("the API server answers %s: %q", answer.Status, b)
	}
	if w := answer.Header["Warning"]; len(w) > 0 {
		return fmt.Errorf("the pod is not as compliant as it should be: %q", w)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}
