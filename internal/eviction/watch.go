// SPDX-License-Identifier: Apache-2.0

package eviction

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Watch remembers since when breaches hold. A process that starts anew waits anew.
type Watch struct{ held map[place]held }

// place is where something is wrong, under one revision of a policy: who changes a policy has the time
// to put a mistake right before pods go.
type place struct {
	policy     types.UID
	generation int64
	pod        types.UID
	what       string
}

// held is when a breach was first seen here, and what the node's agent said then.
type held struct{ since, renewed time.Time }

// Look takes the candidates there are now. What is not among them has not held.
func (w *Watch) Look(now time.Time, all []Candidate) {
	still := make(map[place]held)
	for i := range all {
		c := &all[i]
		for _, b := range c.Breaches {
			p := c.place(b)
			first, known := w.held[p]
			if !known {
				first = held{now, c.Renewed}
			}
			still[p] = first
		}
	}
	w.held = still
}

func (c *Candidate) place(b Breach) place {
	return place{c.Policy.UID, c.Policy.Generation, c.UID, b.Place}
}

// confirmed are the breaches that have held for so long, and of which the node's agent has said since,
// by being alive and reporting nothing else, that they hold. Its clock is compared with itself alone.
func (w *Watch) confirmed(now time.Time, c *Candidate, hold time.Duration) []Breach {
	var out []Breach
	for _, b := range c.Breaches {
		if h, ok := w.held[c.place(b)]; ok && now.Sub(h.since) >= hold && c.Renewed.After(h.renewed) {
			out = append(out, b)
		}
	}
	return out
}
