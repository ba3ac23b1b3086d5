// SPDX-License-Identifier: Apache-2.0

package eviction

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxOwners is how many owners are remembered. An unknown one is not evicted from when there is no
	// room: nobody makes others forgotten by being many.
	maxOwners = 1000
	// maxOwnersIn is how many of them may be in one namespace: nobody who makes owners there leaves no room for
	// those of others.
	maxOwnersIn = 100
	// forgiving is how long an owner has had no pod to evict when it is forgotten.
	forgiving = 7 * 24 * time.Hour
	// touching is how often it is written down that an owner still has one.
	touching = 24 * time.Hour
)

// History is what was evicted. It is written down before each eviction.
type History struct {
	// Recent evictions, as long as a breaker counts them.
	Recent []Record `json:"recent,omitempty"`
	// Owners from which pods were evicted.
	Owners map[string]Owner `json:"owners,omitempty"`
}

// Record is one eviction.
type Record struct {
	At        time.Time `json:"at"`
	Policy    types.UID `json:"policy"`
	Pod       types.UID `json:"pod"`
	Namespace string    `json:"namespace"`
	// Name of the pod; empty in what older managers wrote.
	Name string `json:"name,omitempty"`
	Node string `json:"node"`
}

// Owner is how often pods of an owner were evicted, when that was last, and when it last had one to evict.
type Owner struct {
	// Namespace that it is in; empty in what older managers wrote.
	Namespace string    `json:"namespace,omitempty"`
	Evicted   int       `json:"evicted"`
	Last      time.Time `json:"last"`
	Seen      time.Time `json:"seen"`
}

// ParseHistory reads what [History.Encode] wrote; the empty string is an empty history.
func ParseHistory(text string) (*History, error) {
	h := &History{}
	if text == "" {
		return h, nil
	}
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return nil, fmt.Errorf("it is no history of evictions in JSON: %w", err)
	}
	if len(h.Owners) > maxOwners {
		return nil, fmt.Errorf("it names %d owners, more than %d", len(h.Owners), maxOwners)
	}
	return h, nil
}

// Encode writes the history down.
func (h *History) Encode() string {
	// Strings, numbers and times always marshal.
	b, _ := json.Marshal(h)
	return string(b)
}

// Advance forgets what is past. A time that is yet to come was written by a wrong clock: it counts as now,
// and does not last longer for it.
func (h *History) Advance(now time.Time, memory time.Duration) {
	for i := range h.Recent {
		h.Recent[i].At = earlier(h.Recent[i].At, now)
	}
	h.Recent = slices.DeleteFunc(h.Recent, func(r Record) bool { return now.Sub(r.At) >= memory })
	for key, o := range h.Owners {
		o.Last, o.Seen = earlier(o.Last, now), earlier(o.Seen, now)
		if h.Owners[key] = o; now.Sub(o.Seen) >= forgiving {
			delete(h.Owners, key)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

// Add writes down that a pod is evicted.
func (h *History) Add(now time.Time, c *Candidate) {
	now = now.UTC().Truncate(time.Second)
	h.Recent = append(h.Recent, Record{At: now, Policy: c.Policy.UID, Pod: c.UID, Namespace: c.Pod.Namespace, Name: c.Pod.Name, Node: c.Node})
	if h.Owners == nil {
		h.Owners = make(map[string]Owner)
	}
	h.Owners[c.Owner] = Owner{Namespace: c.Pod.Namespace, Evicted: h.Owners[c.Owner].Evicted + 1, Last: now, Seen: now}
}

// Touch notes which owners still have a pod to evict, and tells whether that is to be written down.
func (h *History) Touch(now time.Time, all []Candidate) (changed bool) {
	now = now.UTC().Truncate(time.Second)
	for i := range all {
		o, known := h.Owners[all[i].Owner]
		if known && len(all[i].Breaches) > 0 && now.Sub(o.Seen) >= touching {
			o.Seen = now
			h.Owners[all[i].Owner] = o
			changed = true
		}
	}
	return changed
}

// room counts the owners that are remembered, in all and in each namespace.
type room struct {
	all    int
	owners map[string]int
}

func newRoom(h *History) room {
	r := room{owners: make(map[string]int)}
	for _, o := range h.Owners {
		r.take(o.Namespace)
	}
	return r
}

func (r *room) take(namespace string) {
	r.all++
	r.owners[namespace]++
}

// full tells whether no other owner of a namespace can be remembered.
func (r *room) full(namespace string) bool {
	return r.all >= maxOwners || r.owners[namespace] >= maxOwnersIn
}
