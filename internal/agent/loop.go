// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Two loops, so that an API server that does not answer keeps nobody from looking: one looks, one
// writes what was last seen.

// board is where the looking loop leaves what it saw for the writing loop.
type board struct {
	mu     sync.Mutex
	latest *Sighting
	// settled is set if the latest sighting may be written: see looking.settled.
	settled bool
	// looked is the time of the last look that succeeded.
	looked time.Time
	news   chan struct{}
}

func newBoard() *board { return &board{news: make(chan struct{}, 1)} }

func (b *board) put(s *Sighting, settled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest, b.settled = s, settled
	if s.Err == nil {
		b.looked = s.At
	}
	select {
	case b.news <- struct{}{}:
	default: // the news of before have not been read yet
	}
}

// get is the latest sighting; nil if there is none that may be written.
func (b *board) get() (s *Sighting, looked time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settled {
		s = b.latest
	}
	return s, b.looked
}

// observer takes a look into account. It is a [Looker].
type observer interface {
	Observe(*isolation.Tracker, time.Time) (isolation.Observation, error)
	Node() procns.NodeNamespaces
	Problems() []Problem
	Stats() Stats
}

// looking is the loop that looks.
type looking struct {
	log      logr.Logger
	observer observer
	board    *board
	metrics  *metrics
	pace     pace
	// changed gets an element when containers changed.
	changed <-chan struct{}
	// former gets what a former life of the agent found, once that is known.
	former <-chan []isolation.Finding
	// facts name kernel and runtime; informed tells whether the API's pods are known.
	facts    func() v1alpha1.NodeFacts
	informed func() bool
	now      func() time.Time
	// confirm is how far apart looks must be that confirm each other.
	confirm time.Duration

	tracker *isolation.Tracker
	// since is the first look that knew all that the API tells; zero if there was none yet.
	since time.Time
	// remembers is set once the tracker knows the findings of a former life.
	remembers bool
	// problems are those of the last look.
	problems []Problem
}

// run looks until the context ends.
func (l *looking) run(ctx context.Context) {
	l.tracker = isolation.NewTracker(nil)
	for {
		timer := time.NewTimer(l.pace.next().Sub(l.now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case known := <-l.former:
			l.tracker, l.remembers, l.since = isolation.NewTracker(known), true, time.Time{}
			l.pace.hurry()
		case <-l.changed:
			l.pace.hurry()
		case <-timer.C:
			l.look()
		}
		timer.Stop()
	}
}

// look takes one look and leaves what it saw on the board.
func (l *looking) look() {
	at := l.now()
	informed := l.informed() && l.remembers
	observation, err := l.observer.Observe(l.tracker, at)
	took := l.now().Sub(at)
	s := &Sighting{At: at, Err: err, Observation: observation}
	if err != nil {
		l.log.Error(err, "A look failed")
	} else {
		s.Facts, s.Node, s.Problems = l.facts(), l.observer.Node(), l.observer.Problems()
		l.tellProblems(s.Problems)
	}
	l.metrics.looked(s, took, l.observer.Stats())
	settled := l.settle(at, informed && err == nil)
	l.pace.looked(at, took, observation.Pending || informed && !settled)
	l.board.put(s, settled)
}

// tellProblems logs what looks lack when that changes.
func (l *looking) tellProblems(problems []Problem) {
	if slices.Equal(problems, l.problems) {
		return
	}
	l.problems = problems
	for _, p := range problems {
		l.log.Info("The agent does not see everything", "reason", p.Reason, "message", p.Message)
	}
	if len(problems) == 0 {
		l.log.Info("The agent sees everything")
	}
}

// settle tells whether what was seen may be written: from the second look on, a confirming one,
// that knew the pods and what had been found before. So a start does not blank the report.
func (l *looking) settle(at time.Time, informed bool) bool {
	if l.since.IsZero() {
		if informed {
			l.since = at
		}
		return false
	}
	return at.Sub(l.since) >= max(l.confirm, isolation.ConfirmAfter)
}

// reporter writes report and lease. It is a [publisher].
type reporter interface {
	read(context.Context) (*v1alpha1.NodeIsolationReport, error)
	publish(context.Context, *Sighting) (bool, error)
	renew(context.Context, time.Time) error
}

// reporting is the loop that writes.
type reporting struct {
	log      logr.Logger
	reporter reporter
	board    *board
	metrics  *metrics
	writing  writing
	// former takes what a former life of the agent found.
	former chan<- []isolation.Finding
	bootID string
	// fresh is how old the last look may be for the lease to be renewed.
	fresh time.Duration
	now   func() time.Time
	// published is called when the report first says what was seen.
	published func()

	// read is set once the report of a former life was read.
	read bool
	// told is the sighting that the report is known to tell.
	told *Sighting
}

// apiTimeout bounds one step of writing.
const apiTimeout = 15 * time.Second

// run writes until the context ends.
func (r *reporting) run(ctx context.Context) {
	for {
		r.step(ctx)
		timer := time.NewTimer(r.wait())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.board.news:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// wait is how long there is nothing to do unless there are news.
func (r *reporting) wait() time.Duration {
	now := r.now()
	if !r.read {
		return max(0, r.writing.next().Sub(now))
	}
	// A lease that is due and not renewed, as looks fail, waits for better news.
	wait := max(time.Second, r.writing.renewal().Sub(now))
	if s, _ := r.board.get(); s != r.told {
		wait = min(wait, r.writing.next().Sub(now))
	}
	return max(10*time.Millisecond, wait)
}

// step does what is due.
func (r *reporting) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if !r.read {
		r.remember(ctx)
		return
	}
	r.publish(ctx)
	r.renew(ctx)
}

// remember reads what a former life of the agent found.
func (r *reporting) remember(ctx context.Context) {
	now := r.now()
	if now.Before(r.writing.next()) {
		return
	}
	report, err := r.reporter.read(ctx)
	if err != nil {
		r.failed(err, "Could not read the report of before", now)
		return
	}
	r.read = true
	r.writing.done(now, false)
	r.former <- KnownFindings(&report.Status, r.bootID)
}

// publish writes the latest sighting if it may be written.
func (r *reporting) publish(ctx context.Context) {
	s, _ := r.board.get()
	now := r.now()
	if s == nil || s == r.told || now.Before(r.writing.next()) {
		return
	}
	written, err := r.reporter.publish(ctx, s)
	if err != nil {
		r.failed(err, "Could not write the report", now)
		return
	}
	r.told = s
	r.writing.done(now, written)
	r.published()
	if written {
		r.metrics.wrote("written")
		r.log.V(1).Info("Wrote the report", "pods", len(s.Observation.Pods), "findings", len(s.Observation.Findings))
	}
}

// renew renews the lease if it is due and if it would tell the truth: that looks succeed, and that
// the report tells what they see.
func (r *reporting) renew(ctx context.Context) {
	now := r.now()
	_, looked := r.board.get()
	due := !now.Before(r.writing.renewal()) && !now.Before(r.writing.retry())
	if !due || r.told == nil || now.Sub(looked) > r.fresh || now.Sub(r.told.At) > r.fresh+writeGap {
		return
	}
	if err := r.reporter.renew(ctx, now); err != nil {
		r.failed(err, "Could not renew the lease", now)
		return
	}
	r.writing.renewed = now
	// Now and then see to it that the report still holds what was written: nobody tells.
	if _, err := r.reporter.read(ctx); err != nil {
		r.failed(err, "Could not read the report back", now)
		return
	}
	r.told = nil
}

func (r *reporting) failed(err error, message string, now time.Time) {
	r.writing.fail(now)
	if errors.Is(err, context.Canceled) {
		return
	}
	r.metrics.wrote("failed")
	r.log.Error(err, message, "retryIn", r.writing.backoff.String())
}
