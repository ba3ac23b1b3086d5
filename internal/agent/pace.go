// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const (
	// confirmGap is when a second look follows a first one.
	confirmGap = isolation.ConfirmAfter + 50*time.Millisecond
	// dutyCycle bounds what looks cost: one that took long is followed by a pause this many times as
	// long.
	dutyCycle = 10
	// writeGap is the least time between two writes of the report.
	writeGap = 10 * time.Second
	// renewEvery is how often the lease is renewed: three times before it is stale.
	renewEvery = 40 * time.Second
	// backoffLeast and backoffMost bound the time between attempts to write while they fail.
	backoffLeast, backoffMost = time.Second, 30 * time.Second
)

// pace says when to look. It is pure: the time is handed to it.
type pace struct {
	interval time.Duration
	// jitter is a random number in [0, 1), so that the agents of a cluster do not keep step.
	jitter func() float64

	last    time.Time // when the last look began; zero before the first
	gap     time.Duration
	regular time.Time
	urgent  bool
}

// next is when to look.
func (p *pace) next() time.Time {
	switch {
	case p.last.IsZero():
		return p.last
	case p.urgent:
		return p.last.Add(p.gap)
	default:
		return p.regular
	}
}

// hurry asks for a look as soon as may be: containers changed.
func (p *pace) hurry() { p.urgent = true }

// looked tells of a look: when it began, how long it took, and whether a second one must confirm
// what it saw.
func (p *pace) looked(at time.Time, took time.Duration, pending bool) {
	p.last, p.urgent = at, pending
	p.gap = max(confirmGap, dutyCycle*took)
	spread := time.Duration((p.jitter() - 0.5) * 0.4 * float64(p.interval))
	p.regular = at.Add(max(p.gap, p.interval+spread))
}

// writing says when to write the report and when to renew the lease. It is pure.
type writing struct {
	// wrote is the last write, failed the last attempt that failed; zero if there was none.
	wrote, failed time.Time
	backoff       time.Duration
	// renewed is the last renewal of the lease.
	renewed time.Time
}

// next is when the report may be written.
func (w *writing) next() time.Time {
	var at time.Time
	if !w.wrote.IsZero() {
		at = w.wrote.Add(writeGap)
	}
	if retry := w.retry(); retry.After(at) {
		at = retry
	}
	return at
}

// retry is when to try again after a failure; zero if there was none.
func (w *writing) retry() time.Time {
	if w.backoff == 0 {
		return time.Time{}
	}
	return w.failed.Add(w.backoff)
}

// fail tells of an attempt that failed.
func (w *writing) fail(at time.Time) {
	w.failed = at
	w.backoff = min(backoffMost, max(backoffLeast, 2*w.backoff))
}

// done tells of an attempt that succeeded, and whether anything was written.
func (w *writing) done(at time.Time, written bool) {
	w.backoff = 0
	if written {
		w.wrote = at
	}
}

// renewal is when the lease is to be renewed.
func (w *writing) renewal() time.Time {
	if w.renewed.IsZero() {
		return w.renewed
	}
	return w.renewed.Add(renewEvery)
}
