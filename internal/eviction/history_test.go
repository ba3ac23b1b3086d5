// SPDX-License-Identifier: Apache-2.0

package eviction_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

func TestAHistoryOutlivesTheProcess(t *testing.T) {
	g := NewWithT(t)
	h := &eviction.History{}
	c := candidate("a")
	h.Add(now, &c)
	again, err := eviction.ParseHistory(h.Encode())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(h))
	empty, err := eviction.ParseHistory("")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(empty).To(Equal(&eviction.History{}))
}

func TestAHistoryThatCannotBeReadIsNoEmptyOne(t *testing.T) {
	many := &eviction.History{Owners: map[string]eviction.Owner{}}
	for i := range 1001 {
		many.Owners[fmt.Sprint(i)] = eviction.Owner{}
	}
	for name, text := range map[string]string{
		"no JSON": "{", "another type": `{"recent": "yesterday"}`, "too many owners": many.Encode(),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eviction.ParseHistory(text)
			NewWithT(t).Expect(err).To(HaveOccurred())
		})
	}
}

func TestAnOwnerIsForgottenAWeekAfterItLastHadAPodToEvict(t *testing.T) {
	g := NewWithT(t)
	const week, day = 7 * 24 * time.Hour, 24 * time.Hour
	h := &eviction.History{}
	c := candidate("a")
	h.Add(now, &c)
	known := func(at time.Time) bool {
		h.Advance(at, time.Hour)
		return h.Owners[c.Owner].Evicted > 0
	}
	g.Expect(known(now.Add(week - time.Second))).To(BeTrue())
	g.Expect(h.Touch(now.Add(week-time.Second), []eviction.Candidate{c})).To(BeTrue(), "it still has one")
	g.Expect(h.Touch(now.Add(week+time.Hour), []eviction.Candidate{c})).To(BeFalse(), "that is written down once a day")
	g.Expect(known(now.Add(2*week - day))).To(BeTrue())
	c.Breaches = nil
	g.Expect(h.Touch(now.Add(2*week-day), []eviction.Candidate{c})).To(BeFalse(), "it is well")
	g.Expect(known(now.Add(2 * week))).To(BeFalse())
}

func TestAClockThatWasWrongDelaysNothingForEver(t *testing.T) {
	g := NewWithT(t)
	h := &eviction.History{}
	c := candidate("a")
	h.Add(now.Add(1000*time.Hour), &c)
	h.Advance(now, time.Hour)
	g.Expect(h.Recent[0].At).To(Equal(now))
	g.Expect(h.Owners[c.Owner].Last).To(Equal(now))
	h.Advance(now.Add(time.Hour), time.Hour)
	g.Expect(h.Recent).To(BeEmpty())
}

func TestNobodyIsForgottenBecauseThereAreMany(t *testing.T) {
	g := NewWithT(t)
	in := held(candidate("new"), candidate("known"))
	for i := range 999 {
		in.History.Owners = owners(in.History.Owners, fmt.Sprint(i), in.Now)
	}
	in.History.Owners = owners(in.History.Owners, "owner-known", in.Now.Add(-time.Hour))
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.HistoryFull: 1, eviction.Evict: 1}))
}

func TestWhoMakesManyOwnersLeavesRoomForThoseOfOtherNamespaces(t *testing.T) {
	g := NewWithT(t)
	in := held(candidates(4, func(i int, c *eviction.Candidate) {
		if i < 3 {
			c.Pod.Namespace = "crowded"
		}
	})...)
	for i := range 98 {
		h := candidate(fmt.Sprint(i))
		h.Pod.Namespace = "crowded"
		in.History.Add(in.Now.Add(-48*time.Hour), &h)
	}
	in.History.Advance(in.Now, time.Hour)
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.HistoryFull: 1, eviction.Evict: 3}),
		"two of the crowded namespace find a place, and the other one")
	again, err := eviction.ParseHistory(in.History.Encode())
	g.Expect(err).NotTo(HaveOccurred())
	in.History = again
	g.Expect(outcomes(in)).To(Equal(map[eviction.Outcome]int{eviction.HistoryFull: 1, eviction.Evict: 3}), "a restart forgets no namespace")
}

func owners(all map[string]eviction.Owner, name string, last time.Time) map[string]eviction.Owner {
	if all == nil {
		all = make(map[string]eviction.Owner)
	}
	all[name] = eviction.Owner{Evicted: 1, Last: last, Seen: last}
	return all
}
