// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// report counts what came of the fixtures.
type report struct {
	title string

	lock     sync.Mutex
	passed   map[string]int         // by kind
	refused  map[policy.CheckID]int // by control
	leftOut  map[string]int         // by reason
	levels   map[api.LevelVersion]bool
	differed map[*difference]int
	failed   []string
}

func newReport(title string) *report {
	return &report{
		title: title, passed: map[string]int{}, refused: map[policy.CheckID]int{}, leftOut: map[string]int{},
		levels: map[api.LevelVersion]bool{}, differed: map[*difference]int{},
	}
}

// asked notes that the suite has come to a level and version.
func (r *report) asked(q *question) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.levels[q.level] = true
}

func (r *report) pass(q *question, refusing []policy.CheckID) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.passed[q.kind]++
	for _, id := range refusing {
		r.refused[id]++
	}
}

func (r *report) leaveOut(q *question, reason string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.leftOut[q.kind+"s: "+reason]++
}

func (r *report) differ(d *difference) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.differed[d]++
}

func (r *report) fail(q *question, why string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.failed = append(r.failed, why+"\n    "+q.String())
}

// check fails the test if the fixtures show less than they should.
func (r *report) check(t *testing.T) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if len(r.failed) > 0 {
		t.Errorf("%d fixtures failed; the report names them", len(r.failed))
	}
	if want := 2 * (newestMinor + 1); len(r.levels) != want {
		t.Errorf("the suite came to %d levels and versions, not to baseline and restricted of v1.0 to v1.%d", len(r.levels), newestMinor)
	}
	for id := range covered {
		if r.refused[id] == 0 {
			t.Errorf("no fixture was refused by %s: the run shows nothing of it", id)
		}
	}
	for _, d := range differences {
		if r.differed[d] == 0 {
			t.Errorf("%q is listed as a difference and does not occur any more: take it off the list", d.name)
		}
	}
}

// failuresTold are as many as anybody reads.
const failuresTold = 20

func (r *report) print(w io.Writer) {
	r.lock.Lock()
	defer r.lock.Unlock()
	sum := func(counts map[string]int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	differed := 0
	for _, n := range r.differed {
		differed += n
	}
	fmt.Fprintf(w, "\n%s: %d passed, %d failed, %d differ as listed, %d left out\n", r.title,
		sum(r.passed), len(r.failed), differed, sum(r.leftOut))
	for _, kind := range slices.Sorted(maps.Keys(r.passed)) {
		fmt.Fprintf(w, "  passed %6d  %ss\n", r.passed[kind], kind)
	}
	for _, id := range slices.Sorted(maps.Keys(r.refused)) {
		fmt.Fprintf(w, "      of them %6d refused for %s\n", r.refused[id], id)
	}
	for _, d := range differences {
		who := "Pod Security refuses, Bulkhead admits"
		if d.bulkheadRefuses {
			who = "Bulkhead refuses, Pod Security admits"
		}
		fmt.Fprintf(w, "  differ %6d  %s: %s, because %s.\n", r.differed[d], d.name, who, d.reason)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.leftOut)) {
		fmt.Fprintf(w, "  left out %4d  %s\n", r.leftOut[reason], reason)
	}
	for i, why := range r.failed {
		if i == failuresTold {
			fmt.Fprintf(w, "  FAILED  and %d more\n", len(r.failed)-i)
			break
		}
		fmt.Fprintf(w, "  FAILED  %s\n", why)
	}
}

// printNotCovered tells which controls Bulkhead leaves to Pod Security.
func printNotCovered(w io.Writer) {
	fmt.Fprintln(w, "\nControls of Pod Security that Bulkhead does not cover:")
	for _, id := range slices.Sorted(maps.Keys(notCovered)) {
		fmt.Fprintf(w, "  %s: %s\n", id, notCovered[id])
	}
}
