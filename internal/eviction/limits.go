// SPDX-License-Identifier: Apache-2.0

package eviction

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Limits say how many pods are evicted, and how fast.
type Limits struct {
	// Hold is how long a breach must have held.
	Hold time.Duration
	// Pace is how many evictions of each kind of scope fit into Window.
	Pace   [kinds]int
	Window time.Duration
	// A breaker opens when more than Percent of a scope's pods, and more than Few, would go or have gone
	// within Memory.
	Percent, Few int
	Memory       time.Duration
	// BackOff is how long after the first, second, … eviction of an owner's pod the next may follow. After
	// as many and one, none does.
	BackOff []time.Duration
}

// DefaultLimits are those of an installation.
func DefaultLimits() Limits {
	return Limits{
		Hold:   time.Minute,
		Pace:   [kinds]int{onNode: 3, inNamespace: 3, ofPolicy: 5, inCluster: 10},
		Window: 10 * time.Minute, Percent: 10, Few: 5, Memory: time.Hour,
		BackOff: []time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour},
	}
}

// kind of scope, the narrowest first.
type kind int

const (
	onNode kind = iota
	inNamespace
	ofPolicy
	inCluster
	kinds
)

var kindNames = [kinds]string{onNode: "node", inNamespace: "namespace", ofPolicy: "policy", inCluster: "the cluster"}

// scope is a part of the cluster that has limits of its own.
type scope struct {
	kind kind
	name string
}

func (s scope) String() string {
	if s.name == "" || s.kind == ofPolicy {
		return kindNames[s.kind]
	}
	return kindNames[s.kind] + " " + s.name
}

func scopesOf(node, namespace string, policy types.UID) [kinds]scope {
	return [kinds]scope{{onNode, node}, {inNamespace, namespace}, {ofPolicy, string(policy)}, {inCluster, ""}}
}

func (c *Candidate) scopes() [kinds]scope { return scopesOf(c.Node, c.Pod.Namespace, c.Policy.UID) }
func (r *Record) scopes() [kinds]scope    { return scopesOf(r.Node, r.Namespace, r.Policy) }

// sizes are how many pods there are in each of a candidate's scopes.
func (c *Candidate) sizes(cluster int) [kinds]int {
	return [kinds]int{onNode: c.OnNode, inNamespace: c.InNamespace, ofPolicy: c.Policy.Matched, inCluster: cluster}
}

// breakers are the scopes of which too many pods would go.
type breakers struct{ open map[scope]load }

// load of a scope: how many would go or have gone, and how many may.
type load struct{ goes, most int }

// newBreakers counts, from the narrowest scope to the widest. A candidate of a scope that is open does
// not go, and is not counted further: who lies about one node does not stop what is right on others.
func newBreakers(in *Input) breakers {
	b := breakers{open: make(map[scope]load)}
	for k := range kinds {
		pods := make(map[scope]map[types.UID]bool)
		most := make(map[scope]int)
		count := func(s scope, pod types.UID) {
			if pods[s] == nil {
				pods[s] = make(map[types.UID]bool)
			}
			pods[s][pod] = true
		}
		for i := range in.Candidates {
			c := &in.Candidates[i]
			if len(c.Breaches) == 0 {
				continue
			}
			if _, open := b.of(c); open {
				continue
			}
			s := c.scopes()[k]
			count(s, c.UID)
			most[s] = max(in.Limits.Few, c.sizes(in.Pods)[k]*in.Limits.Percent/100)
		}
		for i := range in.History.Recent {
			r := &in.History.Recent[i]
			count(r.scopes()[k], r.Pod)
		}
		for s, most := range most {
			if goes := len(pods[s]); goes > most {
				b.open[s] = load{goes, most}
			}
		}
	}
	return b
}

// of is the narrowest scope of a candidate that is open.
func (b *breakers) of(c *Candidate) (scope, bool) {
	for _, s := range c.scopes() {
		if _, open := b.open[s]; open {
			return s, true
		}
	}
	return scope{}, false
}

// paces count the evictions of each scope within the window.
type paces map[scope]int

func newPaces(in *Input) paces {
	p := make(paces)
	for i := range in.History.Recent {
		if r := &in.History.Recent[i]; in.Now.Sub(r.At) < in.Limits.Window {
			p.add(r.scopes())
		}
	}
	return p
}

func (p paces) add(scopes [kinds]scope) {
	for _, s := range scopes {
		p[s]++
	}
}

// full is the narrowest scope of a candidate that has no room left.
func (p paces) full(c *Candidate, l *Limits) (scope, bool) {
	for k, s := range c.scopes() {
		if p[s] >= l.Pace[k] {
			return s, true
		}
	}
	return scope{}, false
}
