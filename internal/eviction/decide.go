// SPDX-License-Identifier: Apache-2.0

package eviction

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Input is what there is to decide on at one moment.
type Input struct {
	Now        time.Time
	Candidates []Candidate
	// Pods is how many pods there are in the cluster.
	Pods    int
	Limits  Limits
	Watch   *Watch
	History *History
	// Rest holds pods that were tried, and until when they are left alone.
	Rest map[types.UID]time.Time
}

// Decision is what becomes of a candidate, and why in one sentence.
type Decision struct {
	*Candidate
	Outcome Outcome
	Why     string
	// Confirmed are the breaches that it rests on.
	Confirmed []Breach
}

// Decide tells what becomes of every candidate. Those that are to be evicted come first, in the order in
// which that is to be done: the worst first. All of them together are within the limits, as long as each is
// added to the history.
func Decide(in *Input) []Decision {
	out := make([]Decision, len(in.Candidates))
	for i := range in.Candidates {
		c := &in.Candidates[i]
		out[i] = Decision{Candidate: c, Confirmed: in.Watch.confirmed(in.Now, c, in.Limits.Hold)}
	}
	slices.SortStableFunc(out, inTurn)
	d := deciding{Input: in, breakers: newBreakers(in), paces: newPaces(in), pods: make(map[types.UID]bool), owners: make(map[string]bool), room: newRoom(in.History)}
	for i := range out {
		out[i].Outcome, out[i].Why = d.decide(&out[i])
	}
	slices.SortStableFunc(out, func(a, b Decision) int { return rank(a.Outcome) - rank(b.Outcome) })
	return out
}

func rank(o Outcome) int {
	if o == Evict {
		return 0
	}
	return 1
}

// inTurn has what is worst, and confirmed, come first.
func inTurn(a, b Decision) int {
	worst := func(d *Decision) int {
		if len(d.Confirmed) == 0 {
			return isolation.Severity("") + 1
		}
		return isolation.Severity(d.Confirmed[0].Kind)
	}
	return cmp.Or(
		cmp.Compare(worst(&a), worst(&b)),
		cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name), cmp.Compare(a.Policy.Name, b.Policy.Name),
	)
}

// deciding is the work of one Decide.
type deciding struct {
	*Input
	breakers breakers
	paces    paces
	// pods and owners that have had their turn.
	pods   map[types.UID]bool
	owners map[string]bool
	room   room
}

// decide asks in the order in which a person would want to be told: what will never be, what would be
// too much, what comes back, what has to wait.
func (d *deciding) decide(c *Decision) (Outcome, string) {
	if c.Forbidden != "" {
		return c.Forbidden, forbidden[c.Forbidden]
	}
	if s, open := d.breakers.of(c.Candidate); open {
		l := d.breakers.open[s]
		return CircuitOpen, fmt.Sprintf("too many pods of %s would go: %d within %s, at most %d may; see what they have in common", s, l.goes, d.Limits.Memory, l.most)
	}
	if len(c.Confirmed) == 0 {
		return Unconfirmed, fmt.Sprintf("the breach must hold for %s, and the node's agent report again", d.Limits.Hold)
	}
	if d.pods[c.UID] {
		return Resting, "another policy evicts it"
	}
	if outcome, why := d.backOff(c.Candidate); outcome != "" {
		return outcome, why
	}
	if until := d.Rest[c.UID]; d.Now.Before(until) {
		return Resting, "it was tried a moment ago, and is again at " + until.UTC().Format(time.RFC3339)
	}
	if s, full := d.paces.full(c.Candidate, &d.Limits); full {
		return RateLimited, fmt.Sprintf("%d pods of %s were evicted within %s, which is as many as may be", d.paces[s], s, d.Limits.Window)
	}
	d.pods[c.UID], d.owners[c.Owner] = true, true
	if _, known := d.History.Owners[c.Owner]; !known {
		d.room.take(c.Pod.Namespace)
	}
	d.paces.add(c.scopes())
	return Evict, told(c.Confirmed)
}

// backOff tells whether the owner's pods are let alone; empty if they are not.
func (d *deciding) backOff(c *Candidate) (Outcome, string) {
	o, known := d.History.Owners[c.Owner]
	switch {
	case d.owners[c.Owner]:
		return BackedOff, "another pod of the same owner is evicted now"
	case !known && d.room.full(c.Pod.Namespace):
		return HistoryFull, fmt.Sprintf("pods of %d owners in namespace %s, of %d in all, were evicted, and no more owners are remembered",
			d.room.owners[c.Pod.Namespace], c.Pod.Namespace, d.room.all)
	case !known || o.Evicted == 0:
		return "", ""
	case o.Evicted > len(d.Limits.BackOff):
		return GivenUp, fmt.Sprintf("%d pods of its owner were evicted, and it comes back the same: see why, and change the owner", o.Evicted)
	}
	if next := o.Last.Add(d.Limits.BackOff[o.Evicted-1]); d.Now.Before(next) {
		return BackedOff, fmt.Sprintf("%d pods of its owner were evicted, the next may be at %s", o.Evicted, next.UTC().Format(time.RFC3339))
	}
	return "", ""
}

// told is what is wrong, as the policy's status says it.
func told(all []Breach) string {
	var out []string
	for _, b := range all {
		out = append(out, string(b.Kind)+": "+b.Message)
	}
	return strings.Join(out, "; ")
}

// forbidden says why, to who reads an event.
var forbidden = map[Outcome]string{
	NotBreached: "it is not breached any more",
	Terminating: "it is going already",
	Static:      "it is a static pod: the kubelet runs it whatever the API server says; change its manifest on the node",
	Excluded:    "it is in a namespace that the installation excludes",
	Exempt:      "it needs an exemption of the policy, and exempt pods are never evicted",
	Doubted:     "its node is degraded and cannot see everything, or it is not known where its claims lead",
	AskedFor:    "its spec asks for what was observed, and a new pod would, too: change the spec",
	NeverMade:   "a spec promises nothing on that axis: the runtime decides, and a new pod would get the same",
	Unblamed:    "it is in a namespace of another pod, and the node's report does not say that it went there",
}
