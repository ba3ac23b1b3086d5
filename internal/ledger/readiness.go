// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"

	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Readiness is how ready the pods that have not ended are for user namespaces of their own.
type Readiness struct {
	// Namespaces that have pods, by name.
	Namespaces map[string]isolation.UserNamespaceCounts
	// Obstacles is in how many pods' way each sort stands.
	Obstacles map[isolation.ObstacleSort]int
}

// Readiness counts the pods as they are now.
func (l *Ledger) Readiness() Readiness {
	r := Readiness{Namespaces: make(map[string]isolation.UserNamespaceCounts, len(l.namespaces)), Obstacles: maps.Clone(l.obstacles)}
	for name, n := range l.namespaces {
		if len(n.pods) > 0 {
			r.Namespaces[name] = n.userns
		}
	}
	return r
}

// SetRuntimeClass tells the handler of a runtime class; nil if there is no such class. It looks for the pods of the
// class among all, for a class changes next to never, and judges no other.
func (l *Ledger) SetRuntimeClass(name string, handler *string) {
	before, known := l.handlers[name]
	if known == (handler != nil) && before == ptr.Deref(handler, "") {
		return
	}
	if handler == nil {
		delete(l.handlers, name)
	} else {
		l.handlers[name] = *handler
	}
	for _, p := range l.pods {
		if ptr.Deref(p.Spec.RuntimeClassName, "") == name {
			l.ready(p)
		}
	}
}

// ready judges anew how ready a pod is.
func (l *Ledger) ready(p *pod) {
	var facts *isolation.NodeFacts
	if p.node != nil {
		facts = p.node.facts
	}
	now := isolation.UserNamespaceReadiness(p.Spec, facts, isolation.HandlerOf(p.Spec, l.handlers))
	if !p.counted || now != p.readiness {
		l.recount(p, func() { p.counted, p.readiness = true, now })
	}
}

// see takes whether a pod was seen on its node's user namespace.
func (l *Ledger) see(p *pod, sight *isolation.Sight) {
	if atHost := sight.Observed(isolation.User) == isolation.Host; atHost != p.atHost {
		l.recount(p, func() { p.atHost = atHost })
	}
}

// unready takes a pod out of the counts.
func (l *Ledger) unready(p *pod) { l.recount(p, func() { p.counted = false }) }

// recount counts a pod as it is after the change, and no more as it was before.
func (l *Ledger) recount(p *pod, change func()) {
	l.countReadiness(p, -1)
	change()
	l.countReadiness(p, 1)
}

func (l *Ledger) countReadiness(p *pod, by int) {
	if !p.counted {
		return
	}
	observed := isolation.Unknown
	if p.atHost {
		observed = isolation.Host
	}
	p.namespace.userns.Add(p.readiness.State(), observed, by)
	for sort := range p.readiness.Obstacles() {
		if l.obstacles[sort] += by; l.obstacles[sort] == 0 {
			delete(l.obstacles, sort)
		}
	}
}
