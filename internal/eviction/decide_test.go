// SPDX-License-Identifier: Apache-2.0

package eviction_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

func TestNothingIsEvictedOnOneLook(t *testing.T) {
	// looks are made every 20 s, of which the last decides.
	for name, test := range map[string]struct {
		looks int
		// change the candidate before look i; nil leaves it out.
		change func(i int, c *eviction.Candidate) bool
		want   eviction.Outcome
	}{
		"one look":            {1, nil, eviction.Unconfirmed},
		"not for long enough": {3, nil, eviction.Unconfirmed},
		"for long enough, and the agent said so since": {4, nil, eviction.Evict},
		"the agent has said nothing since":             {20, func(_ int, c *eviction.Candidate) bool { c.Renewed = now; return true }, eviction.Unconfirmed},
		"the agent's clock was set back": {20, func(i int, c *eviction.Candidate) bool {
			c.Renewed = now.Add(-time.Duration(i) * time.Second)
			return true
		}, eviction.Unconfirmed},
		"with an interruption":                          {5, func(i int, _ *eviction.Candidate) bool { return i != 2 }, eviction.Unconfirmed},
		"the policy was changed meanwhile":              {5, func(i int, c *eviction.Candidate) bool { c.Policy.Generation = int64(i / 2); return true }, eviction.Unconfirmed},
		"each time something else":                      {5, func(i int, c *eviction.Candidate) bool { c.Breaches[0].Place = fmt.Sprint("place ", i); return true }, eviction.Unconfirmed},
		"a node that was degraded in between":           {5, func(i int, c *eviction.Candidate) bool { degraded(c, i == 2); return true }, eviction.Unconfirmed},
		"another pod of the same name was there before": {5, func(i int, c *eviction.Candidate) bool { c.UID = types.UID(fmt.Sprint(i / 3)); return true }, eviction.Unconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			in := held()
			var all []eviction.Candidate
			for i := range test.looks {
				c := candidate("a")
				c.Renewed = now.Add(time.Duration(i) * 20 * time.Second)
				all = nil
				if test.change == nil || test.change(i, &c) {
					all = []eviction.Candidate{c}
				}
				in.Now = now.Add(time.Duration(i) * 20 * time.Second)
				in.Watch.Look(in.Now, all)
			}
			in.Candidates = all
			d := eviction.Decide(in)
			g := NewWithT(t)
			g.Expect(d).To(HaveLen(1))
			g.Expect(d[0].Outcome).To(Equal(test.want))
		})
	}
}

func degraded(c *eviction.Candidate, yes bool) {
	if yes {
		c.Forbidden, c.Breaches = eviction.Doubted, nil
	}
}

func TestAProcessThatStartsAnewWaitsAnew(t *testing.T) {
	in := held(candidate("a"))
	in.Watch = &eviction.Watch{}
	in.Watch.Look(in.Now, in.Candidates)
	NewWithT(t).Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.Unconfirmed: 1}))
}

func TestTheWorstGoesFirst(t *testing.T) {
	g := NewWithT(t)
	all := candidates(3, func(i int, c *eviction.Candidate) {
		c.Breaches[0].Kind = []v1alpha1.FindingKind{v1alpha1.Breach, v1alpha1.Drift, v1alpha1.Escape}[i]
	})
	in := held(all...)
	var names []string
	for _, d := range eviction.Decide(in) {
		g.Expect(d.Outcome).To(Equal(eviction.Evict))
		g.Expect(d.Why).To(Equal(string(d.Breaches[0].Kind) + ": it escaped"))
		names = append(names, d.Pod.Name)
	}
	g.Expect(names).To(Equal([]string{"pod-002", "pod-001", "pod-000"}))
}

func TestEachScopeHasAPace(t *testing.T) {
	for name, test := range map[string]struct {
		together func(i int, c *eviction.Candidate)
		want     int
	}{
		"a node":      {func(_ int, c *eviction.Candidate) { c.Node = "one" }, 3},
		"a namespace": {func(_ int, c *eviction.Candidate) { c.Pod.Namespace = "shop" }, 3},
		"a policy":    {nil, 5},
		"the cluster": {func(i int, c *eviction.Candidate) { c.Policy.UID = types.UID(fmt.Sprint(i)) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			in := held(candidates(20, test.together)...)
			d := eviction.Decide(in)
			for i := range d {
				if i < test.want {
					g.Expect(d[i].Outcome).To(Equal(eviction.Evict))
					in.History.Add(in.Now, d[i].Candidate)
				} else {
					g.Expect(d[i].Outcome).To(Equal(eviction.RateLimited))
					g.Expect(d[i].Why).To(ContainSubstring(name[len("a "):]))
				}
			}
			// The others have to wait until the window is past.
			in.Candidates = in.Candidates[test.want:]
			in.Now = in.Now.Add(in.Limits.Window - time.Second)
			g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.RateLimited: 20 - test.want}))
			in.Now = in.Now.Add(time.Second)
			g.Expect(outcomes(in)).To(HaveKeyWithValue(eviction.Evict, test.want))
		})
	}
}

func TestAnOwnerWhosePodsComeBackTheSameIsEvictedFromLessAndLessOften(t *testing.T) {
	g := NewWithT(t)
	start := held(candidate("a"))
	history := start.History
	var evicted []time.Duration
	var last eviction.Outcome
	for minute := range 40 * 60 {
		at := now.Add(time.Duration(minute) * time.Minute)
		// Another pod each time, with the same owner.
		c := candidate(fmt.Sprintf("a-%d", len(evicted)))
		c.Owner = "owner-a"
		in := held(c)
		in.Now, in.History = at, history
		in.Watch = heldSince(at.Add(-time.Hour), c)
		history.Advance(at, in.Limits.Memory)
		d := eviction.Decide(in)
		last = d[0].Outcome
		if last == eviction.Evict {
			history.Add(at, d[0].Candidate)
			evicted = append(evicted, at.Sub(now))
		}
	}
	g.Expect(evicted).To(Equal([]time.Duration{0, 10 * time.Minute, 70 * time.Minute, 430 * time.Minute}))
	g.Expect(last).To(Equal(eviction.GivenUp))
}

// heldSince is a watch that saw a candidate then, when its agent had said less.
func heldSince(at time.Time, c eviction.Candidate) *eviction.Watch {
	w := &eviction.Watch{}
	c.Renewed = now.Add(-time.Hour)
	w.Look(at, []eviction.Candidate{c})
	return w
}

func TestOnePodOfAnOwnerGoesAtATime(t *testing.T) {
	in := held(candidates(4, func(_ int, c *eviction.Candidate) { c.Owner = "one" })...)
	NewWithT(t).Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.Evict: 1, eviction.BackedOff: 3}))
}

func TestAPodUnderTwoPoliciesGoesOnce(t *testing.T) {
	first, second := candidate("a"), candidate("a")
	second.Policy.UID, second.Policy.Name = "uid-other", "other"
	NewWithT(t).Expect(outcomes(held(first, second))).To(Equal(map[eviction.Outcome]int{eviction.Evict: 1, eviction.Resting: 1}))
}

func TestAPodThatWasTriedAMomentAgoRests(t *testing.T) {
	g := NewWithT(t)
	in := held(candidate("a"))
	in.Rest[in.Candidates[0].UID] = in.Now.Add(time.Second)
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.Resting: 1}))
	in.Now = in.Now.Add(time.Second)
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.Evict: 1}))
}

func TestABreakerOpensWhenTooManyWouldGo(t *testing.T) {
	for name, test := range map[string]struct {
		pods   int
		change func(i int, c *eviction.Candidate)
		opens  bool
	}{
		"as many as may of a small policy":    {5, small, false},
		"more than a few of a small policy":   {6, small, true},
		"a tenth of a policy":                 {20, ofPolicy(200), false},
		"more than a tenth of a policy":       {21, ofPolicy(200), true},
		"a tenth of a node":                   {10, func(_ int, c *eviction.Candidate) { c.Node = "one" }, false},
		"more than a tenth of a node":         {11, func(_ int, c *eviction.Candidate) { c.Node = "one" }, true},
		"more than a tenth of a namespace":    {101, func(_ int, c *eviction.Candidate) { c.Pod.Namespace = "shop" }, true},
		"more than a tenth of the cluster":    {51, func(i int, c *eviction.Candidate) { c.Policy.UID = types.UID(fmt.Sprint("policy-", i)) }, true},
		"one pod that many policies mind":     {50, func(i int, c *eviction.Candidate) { c.UID, c.Policy.UID = "uid", types.UID(fmt.Sprint(i)) }, false},
		"pods that are never evicted, anyway": {50, func(_ int, c *eviction.Candidate) { small(0, c); degraded(c, true) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			in := held(candidates(test.pods, test.change)...)
			in.Limits.Few, in.Pods = 5, 500
			got := outcomes(in)
			if test.opens {
				g.Expect(got).To(Equal(map[eviction.Outcome]int{eviction.CircuitOpen: test.pods}))
			} else {
				g.Expect(got).NotTo(HaveKey(eviction.CircuitOpen))
			}
		})
	}
}

func small(_ int, c *eviction.Candidate) { c.Policy.Matched = 8 }

func ofPolicy(pods int) func(int, *eviction.Candidate) {
	return func(_ int, c *eviction.Candidate) { c.Policy.Matched = pods }
}

func TestABreakerCountsWhatHasGoneOfLate(t *testing.T) {
	g := NewWithT(t)
	in := held(candidates(2, small)...)
	in.Limits.Few = 5
	for _, c := range candidates(9, small)[5:] {
		in.History.Add(in.Now, &c)
	}
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.CircuitOpen: 2}))
	in.Now = in.Now.Add(in.Limits.Memory)
	in.History.Advance(in.Now, in.Limits.Memory)
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.Evict: 2}))
}

func TestANodeThatLiesDoesNotShieldOthers(t *testing.T) {
	g := NewWithT(t)
	all := candidates(61, func(i int, c *eviction.Candidate) {
		c.Policy.Matched = 100
		if i > 0 {
			c.Node = "liar"
		}
	})
	in := held(all...)
	in.Limits.Few, in.Pods = 5, 100
	d := eviction.Decide(in)
	g.Expect(d[0].Node).To(Equal("node-pod-000"))
	g.Expect(d[0].Outcome).To(Equal(eviction.Evict), "it is right, whatever another node says of its own pods")
	for _, d := range d[1:] {
		g.Expect(d.Outcome).To(Equal(eviction.CircuitOpen))
		g.Expect(d.Why).To(ContainSubstring("node liar"))
	}
}
