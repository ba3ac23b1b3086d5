// SPDX-License-Identifier: Apache-2.0

package eviction_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

const (
	simulatedNodes, simulatedNamespaces, simulatedPolicies, simulatedOwners = 6, 5, 3, 20
	podsOnNode, podsInNamespace, podsOfPolicy, podsInCluster                = 40, 48, 80, 240
)

// simulation is a cluster in which nodes say anything of their pods, pods come back the same, and the
// manager is restarted.
type simulation struct {
	*rand.Rand
	t       *testing.T
	now     time.Time
	limits  eviction.Limits
	watch   *eviction.Watch
	history *eviction.History
	// pods that are breached, and since when each is.
	pods map[types.UID]eviction.Candidate
	uids int
	// forbidden are pods that must not go; log is what was done, kept apart from the history.
	forbidden map[types.UID]bool
	log       []deed
}

type deed struct {
	at time.Time
	eviction.Candidate
}

func (s *simulation) odds(n int) bool { return s.IntN(n) == 0 }

func (s *simulation) step() {
	s.now = s.now.Add(time.Duration(1+s.IntN(40)) * time.Second)
	if s.odds(200) {
		s.now = s.now.Add(time.Duration(s.IntN(9)) * time.Hour)
	}
	if s.odds(50) {
		s.restart()
	}
	for range s.IntN(2) {
		s.breach()
	}
	for uid := range s.pods {
		if s.odds(150) {
			delete(s.pods, uid)
		}
	}
	s.round()
}

// restart keeps what is written down, and nothing else.
func (s *simulation) restart() {
	s.watch = &eviction.Watch{}
	h, err := eviction.ParseHistory(s.history.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	s.history = h
}

// breach has a node say of another pod that it is breached.
func (s *simulation) breach() {
	s.uids++
	owner := s.IntN(simulatedOwners)
	c := candidate(fmt.Sprint(s.uids))
	c.Owner, c.Pod.Namespace = fmt.Sprint("owner-", owner), fmt.Sprint("namespace-", owner%simulatedNamespaces)
	c.Node = fmt.Sprint("node-", s.IntN(simulatedNodes))
	policy := s.IntN(simulatedPolicies)
	c.Policy = eviction.Policy{UID: types.UID(fmt.Sprint("policy-", policy)), Name: fmt.Sprint(policy), Generation: 1, Matched: podsOfPolicy}
	c.OnNode, c.InNamespace = podsOnNode, podsInNamespace
	if s.odds(4) {
		c.Forbidden, c.Breaches = eviction.Static, nil
		s.forbidden[c.UID] = true
	}
	s.pods[c.UID] = c
}

// round decides, and does what was decided; sometimes that fails after it was written down.
func (s *simulation) round() {
	var all []eviction.Candidate
	for _, c := range s.pods {
		c.Renewed = s.now
		all = append(all, c)
	}
	s.watch.Look(s.now, all)
	s.history.Advance(s.now, s.limits.Memory)
	for _, d := range eviction.Decide(&eviction.Input{
		Now: s.now, Candidates: all, Pods: podsInCluster, Limits: s.limits, Watch: s.watch, History: s.history,
	}) {
		if d.Outcome != eviction.Evict {
			continue
		}
		s.history.Add(s.now, d.Candidate)
		s.log = append(s.log, deed{s.now, *d.Candidate})
		if !s.odds(10) {
			delete(s.pods, d.UID)
		}
	}
}

// within is how many deeds of a kind were done within a time before the last one, and to how many pods: one
// that did not go the first time is evicted again.
func (s *simulation) within(d time.Duration, same func(*eviction.Candidate) bool) (deeds, pods int) {
	uids := make(map[types.UID]bool)
	for i := range s.log {
		if s.now.Sub(s.log[i].at) < d-time.Second && same(&s.log[i].Candidate) {
			deeds++
			uids[s.log[i].UID] = true
		}
	}
	return deeds, len(uids)
}

// check holds what was done against the limits, by the log.
func (s *simulation) check(last *eviction.Candidate) {
	for _, scope := range []struct {
		name       string
		same       func(*eviction.Candidate) bool
		pace, most int
	}{
		{"node", func(c *eviction.Candidate) bool { return c.Node == last.Node }, 3, 5},
		{"namespace", func(c *eviction.Candidate) bool { return c.Pod.Namespace == last.Pod.Namespace }, 3, 5},
		{"policy", func(c *eviction.Candidate) bool { return c.Policy.UID == last.Policy.UID }, 5, 8},
		{"cluster", func(*eviction.Candidate) bool { return true }, 10, 24},
	} {
		if n, _ := s.within(10*time.Minute, scope.same); n > scope.pace {
			s.t.Fatalf("%d pods of one %s within ten minutes", n, scope.name)
		}
		if _, n := s.within(time.Hour, scope.same); n > scope.most {
			s.t.Fatalf("%d pods of one %s within an hour", n, scope.name)
		}
	}
	owner := func(c *eviction.Candidate) bool { return c.Owner == last.Owner }
	if n, _ := s.within(10*time.Minute, owner); n > 1 {
		s.t.Fatalf("%d pods of one owner within ten minutes", n)
	}
	if n, _ := s.within(7*24*time.Hour, owner); n > 4 {
		s.t.Fatalf("%d pods of one owner within a week", n)
	}
	if s.forbidden[last.UID] {
		s.t.Fatal("a pod went that must not")
	}
}

func TestWhateverNodesSayTheLimitsHold(t *testing.T) {
	var evicted int
	for seed := range uint64(8) {
		l := eviction.DefaultLimits()
		s := &simulation{
			Rand: rand.New(rand.NewPCG(seed, seed)), t: t, now: now, limits: l, watch: &eviction.Watch{}, history: &eviction.History{},
			pods: map[types.UID]eviction.Candidate{}, forbidden: map[types.UID]bool{},
		}
		for range 1000 {
			before := len(s.log)
			s.step()
			for i := before; i < len(s.log); i++ {
				s.check(&s.log[i].Candidate)
			}
		}
		evicted += len(s.log)
		if n := len(s.history.Encode()); n > 64<<10 {
			t.Fatalf("seed %d: the history has grown to %d bytes", seed, n)
		}
	}
	if evicted < 200 {
		t.Fatalf("%d evictions prove little of limits", evicted)
	}
	t.Log(evicted, "evictions")
}
