// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

const (
	// evictionPace is how often it is decided who is evicted, at most.
	evictionPace = 5 * time.Second
	// passTimeout is how long one round may take.
	passTimeout = time.Minute
)

// evictor evicts, on the replica that leads. The one who keeps the books offers it what they say, and
// does not wait for it.
type evictor struct {
	client    client.Client
	live      client.Reader
	teller    teller
	clock     clock.PassiveClock
	namespace string
	// excluded are the namespaces in which nothing is evicted.
	excluded []string
	limits   eviction.Limits

	// offers holds the latest one.
	offers     chan *offer
	watch      eviction.Watch
	permission permission
	// rests are pods that could not be evicted, and until when they are let alone.
	rests map[types.UID]time.Time
	told  toldEvictions
	// recalled is set once it was looked whether another leader left something untold.
	recalled bool

	mu sync.Mutex
	// verdicts are the conditions EvictionReady, by the policy's UID.
	verdicts map[types.UID]metav1.Condition
}

func newEvictor(c client.Client, live client.Reader, t teller, o *Options, excluded []string) *evictor {
	return &evictor{
		client: c, live: live, teller: t, clock: o.Clock, namespace: o.InstallNamespace, excluded: excluded,
		limits: *o.Eviction, offers: make(chan *offer, 1), rests: make(map[types.UID]time.Time),
	}
}

// rest is how long a pod is let alone that could not be evicted, and how often it is asked whether any may
// be: what changes in less time was not worth the asking.
func (e *evictor) rest() time.Duration { return e.limits.Hold }

// pace is how often it is to be offered what the books say.
func (e *evictor) pace() time.Duration { return min(evictionPace, e.limits.Hold/4) }

// offer is what the books say at one moment of the policies that evict.
type offer struct {
	policies []offeredPolicy
	// pods is how many there are in the cluster.
	pods int
}

type offeredPolicy struct {
	eviction.Policy
	compiled *isolation.Policy
	breaches []ledger.Breach
}

// offerFrom takes from the books what there is to decide on.
func offerFrom(policies []v1alpha1.IsolationPolicy, books *ledger.Ledger) *offer {
	o := &offer{pods: books.Len()}
	for i := range policies {
		p := &policies[i]
		stands := books.Standing(p.UID)
		if p.Spec.Runtime.Action != v1alpha1.Evict || stands == nil || stands.Err != nil {
			continue
		}
		o.policies = append(o.policies, offeredPolicy{
			Policy:   eviction.Policy{UID: p.UID, Name: p.Name, Generation: p.Generation, Matched: int(stands.Pods.Matched)},
			compiled: stands.Compiled, breaches: books.Breaches(p.UID),
		})
	}
	return o
}

// candidates are the pods that the policies call breached.
func (o *offer) candidates(excluded []string) []eviction.Candidate {
	var out []eviction.Candidate
	for i := range o.policies {
		p := &o.policies[i]
		for j := range p.breaches {
			b := &p.breaches[j]
			c := eviction.Examine(p.compiled, b.Pod, b.Subject, b.Sight, excluded)
			c.Policy, c.Renewed, c.OnNode, c.InNamespace = p.Policy, b.Renewed, b.OnNode, b.InNamespace
			out = append(out, c)
		}
	}
	return out
}

// take takes the latest offer. One that was not looked at yet is past.
func (e *evictor) take(o *offer) {
	for {
		select {
		case e.offers <- o:
			return
		default:
		}
		select {
		case <-e.offers:
		default:
		}
	}
}

// Start decides on offers until the context ends.
func (e *evictor) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-e.offers:
			e.pass(ctx, o)
		}
	}
}

// NeedLeaderElection has it run on one replica.
func (e *evictor) NeedLeaderElection() bool { return true }

// pass is one round: decide, act, tell.
func (e *evictor) pass(ctx context.Context, o *offer) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	now := e.clock.Now()
	candidates := o.candidates(e.excluded)
	e.watch.Look(now, candidates)
	if len(o.policies) > 0 {
		e.permission.look(ctx, e.client, now, e.rest())
	}
	book := e.open(ctx, now, o, candidates)
	decisions := eviction.Decide(&eviction.Input{
		Now: now, Candidates: candidates, Pods: o.pods, Limits: e.limits, Watch: &e.watch, History: book.history, Rest: e.rests,
	})
	for i := range decisions {
		if d := &decisions[i]; d.Outcome == eviction.Evict {
			e.act(ctx, d, book)
		}
	}
	e.letRest(now, decisions)
	e.tell(ctx, o, decisions)
	e.judge(o, decisions, book)
}

// letRest lets those alone for a while that were tried in vain.
func (e *evictor) letRest(now time.Time, decisions []eviction.Decision) {
	for pod, until := range e.rests {
		if !now.Before(until) {
			delete(e.rests, pod)
		}
	}
	for i := range decisions {
		switch d := &decisions[i]; d.Outcome {
		case eviction.Changed, eviction.Disrupted, eviction.Failed:
			e.rests[d.UID] = now.Add(e.rest())
		}
	}
}

// judge decides the conditions EvictionReady.
func (e *evictor) judge(o *offer, decisions []eviction.Decision, book *evictionBook) {
	verdicts := make(map[types.UID]metav1.Condition, len(o.policies))
	for i := range o.policies {
		p := &o.policies[i]
		c := metav1.Condition{
			Type: v1alpha1.ConditionEvictionReady, Status: metav1.ConditionFalse, ObservedGeneration: p.Generation,
		}
		first := func(o eviction.Outcome) int {
			return slices.IndexFunc(decisions, func(d eviction.Decision) bool { return d.Policy.UID == p.UID && d.Outcome == o })
		}
		open, full := first(eviction.CircuitOpen), first(eviction.HistoryFull)
		switch {
		case !e.permission.granted:
			c.Reason, c.Message = v1alpha1.ReasonNotPermitted, e.permission.why
		case book.err != nil:
			c.Reason, c.Message = v1alpha1.ReasonNoHistory, isolation.Sanitize(book.err.Error(), 1024)
		case open >= 0:
			c.Reason, c.Message = v1alpha1.ReasonCircuitOpen, isolation.Sanitize(decisions[open].Why, 1024)
		case full >= 0:
			c.Reason, c.Message = v1alpha1.ReasonHistoryFull, isolation.Sanitize(decisions[full].Why, 1024)
		default:
			c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonArmed
			c.Message = fmt.Sprintf("a pod that has less than its spec promised and than is required is evicted once that has held for %s", e.limits.Hold)
		}
		verdicts[p.UID] = c
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.verdicts = verdicts
}

// conditions are those of the last round, by the policy's UID.
func (e *evictor) conditions() map[types.UID]metav1.Condition {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.verdicts
}

// evictionReady is the condition EvictionReady of a policy that evicts.
func evictionReady(in *input, p *v1alpha1.IsolationPolicy) metav1.Condition {
	if c, ok := in.Evictions[p.UID]; ok && c.ObservedGeneration == p.Generation {
		return c
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionEvictionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonLooking,
		Message: "whether pods can be evicted was not looked at yet",
	}
}

// logOf is the log of what is said about evictions.
func logOf(ctx context.Context, d *eviction.Decision) logr.Logger {
	return log.FromContext(ctx).WithName("eviction").WithValues("policy", d.Policy.Name, "namespace", d.Pod.Namespace, "pod", d.Pod.Name, "node", d.Node)
}
