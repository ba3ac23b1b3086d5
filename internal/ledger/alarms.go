// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"container/heap"
	"time"
)

// alarms are what is to be done when a moment has come. One that is no longer needed rings all the
// same: whoever set it looks then whether there is something to do.
type alarms struct{ set alarmHeap }

type alarm struct {
	at   time.Time
	ring func()
}

func (a *alarms) at(t time.Time, ring func()) { heap.Push(&a.set, alarm{t, ring}) }

// due takes those off whose moment has come.
func (a *alarms) due(now time.Time) []func() {
	var out []func()
	for len(a.set) > 0 && !a.set[0].at.After(now) {
		one, _ := heap.Pop(&a.set).(alarm)
		out = append(out, one.ring)
	}
	return out
}

// next is the earliest moment; zero if there is none.
func (a *alarms) next() time.Time {
	if len(a.set) == 0 {
		return time.Time{}
	}
	return a.set[0].at
}

type alarmHeap []alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *alarmHeap) Push(x any) {
	if one, ok := x.(alarm); ok {
		*h = append(*h, one)
	}
}
func (h *alarmHeap) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = alarm{}
	*h = (*h)[:last]
	return one
}
