// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	still := func() float64 { return 0.5 }
	after := func(p *pace) time.Duration { return p.next().Sub(start) }
	looked := func(took time.Duration, pending bool) *pace {
		p := &pace{interval: 10 * time.Second, jitter: still}
		p.looked(start, took, pending)
		return p
	}
	t.Run("looks at once after a start", func(t *testing.T) {
		same(t, (&pace{interval: time.Second, jitter: still}).next().IsZero(), true)
	})
	t.Run("looks every interval", func(t *testing.T) {
		same(t, after(looked(time.Millisecond, false)), 10*time.Second)
	})
	t.Run("jitters by a fifth", func(t *testing.T) {
		for random, want := range map[float64]time.Duration{0: 8 * time.Second, 1: 12 * time.Second} {
			p := &pace{interval: 10 * time.Second, jitter: func() float64 { return random }}
			p.looked(start, time.Millisecond, false)
			same(t, after(p), want)
		}
	})
	t.Run("confirms a second later, and never sooner", func(t *testing.T) {
		same(t, after(looked(time.Millisecond, true)), confirmGap)
	})
	t.Run("looks soon when containers change, and not at every change", func(t *testing.T) {
		p := looked(time.Millisecond, false)
		p.hurry()
		p.hurry()
		same(t, after(p), confirmGap)
	})
	t.Run("pauses in proportion where looks take long", func(t *testing.T) {
		same(t, after(looked(2*time.Second, true)), 20*time.Second)
		same(t, after(looked(2*time.Second, false)), 20*time.Second)
	})
}

func TestWriting(t *testing.T) {
	at := start.Add
	t.Run("writes at once what it has not written", func(t *testing.T) {
		same(t, (&writing{}).next().IsZero(), true)
	})
	t.Run("writes at most every ten seconds", func(t *testing.T) {
		w := &writing{}
		w.done(start, true)
		same(t, w.next(), at(writeGap))
		w.done(at(time.Second), false)
		same(t, w.next(), at(writeGap))
	})
	t.Run("backs off while writing fails, and forgets that when it succeeds", func(t *testing.T) {
		w := &writing{}
		var waits []time.Duration
		for range 7 {
			w.fail(start)
			waits = append(waits, w.next().Sub(start))
		}
		s := time.Second
		same(t, waits, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s})
		w.done(start, false)
		same(t, w.next().IsZero(), true)
	})
	t.Run("renews the lease three times before it is stale", func(t *testing.T) {
		w := &writing{}
		same(t, w.renewal().IsZero(), true)
		w.renewed = start
		same(t, w.renewal(), at(40*time.Second))
	})
}
