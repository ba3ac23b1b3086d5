// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/bulkhead-dev/bulkhead/internal/eviction"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Reasons of events.
const (
	reasonEvicted    = "Evicted"
	reasonNotEvicted = "NotEvicted"
)

// recalling is how far back a new leader tells what another evicted: an event lasts longer.
const recalling = 10 * time.Minute

// maxTold is how many pods of a policy are told of that are not evicted. What else there is, the metrics
// and the event on the policy count.
const maxTold = 50

// passing are outcomes of which no event tells: they say themselves in a moment, or the pod's end does.
var passing = map[eviction.Outcome]bool{
	eviction.Unconfirmed: true, eviction.Resting: true, eviction.Terminating: true, eviction.NotBreached: true,
}

// tried are outcomes that are counted each time; the others are states, of which there are so many now.
var tried = map[eviction.Outcome]bool{
	eviction.Evicted: true, eviction.Changed: true, eviction.Disrupted: true, eviction.Failed: true,
}

// toldEvictions is what was told last, so that it is told once: of each pod under each policy, and of each
// policy as a whole.
type toldEvictions struct {
	pods     map[podUnder]eviction.Outcome
	policies map[outcomeUnder]bool
}

type podUnder struct{ policy, pod types.UID }

type outcomeUnder struct {
	policy  types.UID
	outcome eviction.Outcome
}

// tell tells what was done and what was not, as events and metrics.
func (e *evictor) tell(ctx context.Context, o *offer, decisions []eviction.Decision) {
	counts := make(map[outcomeUnder]int)
	for i := range decisions {
		counts[outcomeUnder{decisions[i].Policy.UID, decisions[i].Outcome}]++
	}
	evictionMetrics().show(o, counts)
	now := toldEvictions{pods: make(map[podUnder]eviction.Outcome), policies: make(map[outcomeUnder]bool)}
	named := make(map[types.UID]int)
	var all []announcement
	for i := range decisions {
		d := &decisions[i]
		if d.Outcome == eviction.Evicted {
			all = append(all, evicted(podReference(d), policyReference(d), d.Why)...)
			continue
		}
		pod := podUnder{d.Policy.UID, d.UID}
		before, known := e.told.pods[pod]
		outcome := d.Outcome
		if passing[outcome] {
			// What comes back after it is not new.
			outcome = before
		} else if under := (outcomeUnder{d.Policy.UID, outcome}); !now.policies[under] {
			if now.policies[under] = true; !e.told.policies[under] {
				all = append(all, notEvicted(d, policyReference(d), nil, fmt.Sprintf("%d pods (%s), such as %s: %s", counts[under], outcome, d.Pod, d.Why)))
			}
		}
		if outcome == "" || !known && named[d.Policy.UID] >= maxTold {
			continue
		}
		named[d.Policy.UID]++
		if now.pods[pod] = outcome; outcome != before {
			all = append(all, notEvicted(d, podReference(d), policyReference(d), string(outcome)+": "+d.Why))
		}
	}
	e.told = now
	e.teller.tell(ctx, all)
}

// evicted are the events that tell of an eviction, on the pod and on the policy.
func evicted(pod, policy *corev1.ObjectReference, why string) []announcement {
	tell := func(regarding, related *corev1.ObjectReference, why string) announcement {
		return announcement{
			regarding: regarding, related: related, kind: corev1.EventTypeWarning, reason: reasonEvicted,
			action: "Evict/" + string(eviction.Evicted), note: isolation.Sanitize("policy "+policy.Name+": "+why, maxNote),
		}
	}
	return []announcement{tell(pod, policy, why), tell(policy, pod, "pod "+pod.Namespace+"/"+pod.Name+": "+why)}
}

// notEvicted is an event that tells why a pod is not. The action names the outcome, by which such events differ.
func notEvicted(d *eviction.Decision, regarding, related *corev1.ObjectReference, why string) announcement {
	return announcement{
		regarding: regarding, related: related, kind: corev1.EventTypeWarning, reason: reasonNotEvicted,
		action: "Evict/" + string(d.Outcome), note: isolation.Sanitize("policy "+d.Policy.Name+": "+why, maxNote),
	}
}

// recall tells, in the first round of a leader, what the one before it may not have come to tell: what is
// written down as evicted and is no longer there. If it was told, the events have the same names.
func (e *evictor) recall(ctx context.Context, now time.Time, o *offer, book *evictionBook) error {
	var all []announcement
	for i := range book.history.Recent {
		r := &book.history.Recent[i]
		p := slices.IndexFunc(o.policies, func(p offeredPolicy) bool { return p.UID == r.Policy })
		if p < 0 || r.Name == "" || now.Sub(r.At) > recalling {
			continue
		}
		pod := &corev1.Pod{}
		if gone, err := e.read(ctx, pod, r.Namespace, r.Name); err != nil {
			return err
		} else if gone || pod.UID != r.Pod || pod.DeletionTimestamp != nil {
			all = append(all, evicted(
				&corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: r.Namespace, Name: r.Name, UID: r.Pod},
				referenceTo(o.policies[p].Name, r.Policy), "evicted at "+r.At.Format(time.RFC3339)+", by a manager that ended before it told why")...)
		}
	}
	e.teller.tell(ctx, all)
	return nil
}

func podReference(d *eviction.Decision) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: d.Pod.Namespace, Name: d.Pod.Name, UID: d.UID}
}

func policyReference(d *eviction.Decision) *corev1.ObjectReference {
	return referenceTo(d.Policy.Name, d.Policy.UID)
}

// evictionInstruments count evictions. Their labels are names of policies, and outcomes, of which there
// are no more than package eviction names.
type evictionInstruments struct {
	tries      *prometheus.CounterVec
	candidates *prometheus.GaugeVec
	// shown are the policies that have figures, by UID.
	shown map[types.UID]string
}

// evictionMetrics are the instruments of this process, on the manager's /metrics.
var evictionMetrics = sync.OnceValue(func() *evictionInstruments {
	i := &evictionInstruments{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_evictions_total",
			Help: "Evictions that were tried, by policy and by what came of it (Evicted, Changed, Disrupted, Failed).",
		}, []string{"policy", "outcome"}),
		candidates: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_eviction_candidates",
			Help: "Breached pods under policies that evict, by policy and by what keeps them from being evicted now.",
		}, []string{"policy", "outcome"}),
	}
	metrics.Registry.MustRegister(i.tries, i.candidates)
	return i
})

// show shows the figures of a round. Those of a policy that evicts no longer go.
func (i *evictionInstruments) show(o *offer, counts map[outcomeUnder]int) {
	i.candidates.Reset()
	names := make(map[types.UID]string, len(o.policies))
	for _, p := range o.policies {
		names[p.UID] = p.Name
	}
	for uid, name := range i.shown {
		if names[uid] == "" {
			i.tries.DeletePartialMatch(prometheus.Labels{"policy": name})
		}
	}
	i.shown = names
	for of, n := range counts {
		if tried[of.outcome] {
			i.tries.WithLabelValues(names[of.policy], string(of.outcome)).Add(float64(n))
		}
		if of.outcome != eviction.Evicted {
			i.candidates.WithLabelValues(names[of.policy], string(of.outcome)).Set(float64(n))
		}
	}
}
