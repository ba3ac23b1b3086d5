// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// clock is a time that the test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

// scripted is an observer that sees what it is told.
type scripted struct {
	err     error
	pending bool
	known   []*isolation.Tracker
}

func (s *scripted) Observe(t *isolation.Tracker, _ time.Time) (isolation.Observation, error) {
	s.known = append(s.known, t)
	return isolation.Observation{Pending: s.pending}, s.err
}
func (*scripted) Node() procns.NodeNamespaces { return procns.NodeNamespaces{} }
func (*scripted) Problems() []Problem         { return nil }
func (*scripted) Stats() Stats                { return Stats{} }

// lookingAt is a looking loop that a test steps through.
func lookingAt(o observer, c *clock) *looking {
	return &looking{
		observer: o, board: newBoard(), metrics: newMetrics(), now: c.Now,
		pace:  pace{interval: 10 * time.Second, jitter: func() float64 { return 0.5 }},
		facts: func() v1alpha1.NodeFacts { return v1alpha1.NodeFacts{} }, informed: func() bool { return true },
		tracker: isolation.NewTracker(nil),
	}
}

func TestAStartDoesNotBlankTheReport(t *testing.T) {
	c := &clock{start}
	l := lookingAt(&scripted{}, c)
	shown := func() bool {
		s, _ := l.board.get()
		return s != nil
	}
	l.look()
	c.pass(time.Minute)
	l.look()
	if shown() {
		t.Error("written without the findings of before")
	}
	l.remembers = true
	l.look()
	if shown() {
		t.Error("written after one look that knew them")
	}
	same(t, l.pace.next().Sub(c.now), confirmGap)
	c.pass(confirmGap)
	l.look()
	if !shown() {
		t.Error("not written after two looks")
	}
	same(t, l.pace.next().Sub(c.now), 10*time.Second)
}

func TestALookThatFailsIsTold(t *testing.T) {
	c := &clock{start}
	o := &scripted{}
	l := lookingAt(o, c)
	l.remembers = true
	l.look()
	c.pass(confirmGap)
	l.look()
	o.err = errors.New("no proc")
	c.pass(time.Minute)
	l.look()
	s, looked := l.board.get()
	if s == nil || s.Err == nil || !looked.Equal(start.Add(confirmGap)) {
		t.Errorf("sighting %+v, last success %v", s, looked)
	}
}

// api is a reporter that notes what it is asked.
type api struct {
	report v1alpha1.NodeIsolationReport
	err    error
	calls  []string
}

func (a *api) read(context.Context) (*v1alpha1.NodeIsolationReport, error) {
	a.calls = append(a.calls, "read")
	return &a.report, a.err
}

func (a *api) publish(_ context.Context, s *Sighting) (bool, error) {
	a.calls = append(a.calls, "publish")
	return len(s.Observation.Findings) > 0, a.err
}

func (a *api) renew(context.Context, time.Time) error {
	a.calls = append(a.calls, "renew")
	return a.err
}

func (a *api) took() string {
	calls := strings.Join(a.calls, " ")
	a.calls = nil
	return calls
}

// reportingTo is a reporting loop that a test steps through.
func reportingTo(a *api, c *clock) (*reporting, *health) {
	board := newBoard()
	h := &health{board: board, stuck: time.Minute, now: c.Now, start: c.now}
	return &reporting{
		reporter: a, board: board, metrics: newMetrics(), now: c.Now, former: make(chan []isolation.Finding, 1),
		bootID: "boot", fresh: 30 * time.Second, published: func() { h.published.Store(true) },
	}, h
}

func news(at time.Time) *Sighting {
	return sighting(at, nil, []isolation.Finding{escape("x")})
}

func TestReporting(t *testing.T) {
	ctx := t.Context()
	c := &clock{start}
	a := &api{}
	r, h := reportingTo(a, c)
	step := func(want string) {
		t.Helper()
		r.step(ctx)
		same(t, a.took(), want)
	}
	t.Log("it first reads what was found before")
	a.err = errors.New("the API server is away")
	step("read")
	step("")
	c.pass(time.Second)
	a.err = nil
	step("read")
	step("")
	same(t, h.ready() == nil, false)

	t.Log("it writes what may be written, once, and renews the lease")
	r.board.put(news(c.now), false)
	step("")
	r.board.put(news(c.now), true)
	step("publish renew read")
	same(t, h.ready(), error(nil))
	r.step(ctx)
	a.took()

	t.Log("it writes no more for ten seconds, then the latest")
	c.pass(time.Second)
	r.board.put(news(c.now), true)
	step("")
	c.pass(writeGap)
	step("publish")

	t.Log("it renews the lease when that is due")
	c.pass(30 * time.Second)
	r.board.put(news(c.now), true)
	step("publish renew read")

	t.Log("it does not renew it while looks fail, and says that it is not well")
	c.pass(2 * time.Minute)
	r.board.put(&Sighting{At: c.now, Err: errors.New("no proc")}, true)
	step("publish")
	same(t, h.alive() == nil, false)
	if r.wait() < time.Second {
		t.Errorf("it does not wait: %s", r.wait())
	}

	t.Log("it does not renew it while the report cannot be written")
	c.pass(time.Minute)
	a.err = errors.New("refused")
	r.board.put(news(c.now), true)
	step("publish")
	c.pass(time.Second)
	a.err = nil
	step("publish renew read")
}

func TestHealthIsServed(t *testing.T) {
	c := &clock{start}
	_, h := reportingTo(&api{}, c)
	server := httptest.NewServer(handler(newMetrics(), h))
	defer server.Close()
	status := func(path string) int {
		t.Helper()
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	same(t, []int{status("/healthz"), status("/readyz"), status("/metrics"), status("/")}, []int{200, 503, 200, 404})
	c.pass(2 * time.Minute)
	same(t, status("/healthz"), 503)
}

func TestMetricsTellOfTheLastLook(t *testing.T) {
	m := newMetrics()
	m.looked(news(start), time.Millisecond, Stats{Processes: 7, Containers: 3, Unreadable: 2, Unshared: [isolation.NumAxes]int{isolation.Mount: 5}})
	m.looked(&Sighting{At: start, Err: errors.New("no proc")}, time.Millisecond, Stats{})
	server := httptest.NewServer(handler(m, &health{}))
	defer server.Close()
	resp, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`bulkhead_agent_looks_total{result="failed"} 1`, `bulkhead_agent_looks_total{result="succeeded"} 1`,
		"bulkhead_agent_look_duration_seconds_count 2", "bulkhead_agent_processes 7", "bulkhead_agent_containers 3",
		"bulkhead_agent_unreadable 2", `bulkhead_agent_findings{axis="mount",kind="Escape"} 1`, `bulkhead_agent_unshared_processes{axis="mount"} 5`,
	} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestOptionsThatAreWrongAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"NODE_NAME":      {},
		"API server":     {NodeName: "node"},
		"interval 1m0s":  {NodeName: "node", RestConfig: restConfig, Interval: time.Minute},
		"open proc tree": {NodeName: "node", RestConfig: restConfig, Proc: t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v does not name %s", err, name)
			}
		})
	}
}
