// SPDX-License-Identifier: Apache-2.0

package isolation

import "slices"

// Whose a namespace is decides the level of the processes in it. In this order it belongs to
//
//  1. the node, if the node has it;
//  2. who was seen to own it before, as long as the holder of then is still in it: an intruder
//     does not become the owner by outliving the sandbox in our memory;
//  3. the pod whose sandbox is in it;
//  4. the earliest holder among the first processes of containers and the processes outside of
//     containers, which are the node's.
//
// A namespace that none of them holds was made by a container for itself, below its own.

// ownership is whose each namespace is, per axis.
type ownership [NumAxes]map[NamespaceID]holder

// holder says who owns a namespace, and the process that witnesses it.
type holder struct {
	node      bool
	container *ContainerLook // nil if the node owns it
	process   *Process       // nil if the node itself is the witness
	fresh     bool           // the earliest holder of this look, by no better right
}

// claimant is a process that may own the namespaces it is in.
type claimant struct {
	container *ContainerLook
	process   *Process
}

// ownershipOf decides for every namespace of a look.
func ownershipOf(look *Look, before *memory) *ownership {
	var o ownership
	claimants := claimantsOf(look)
	for _, a := range Axes {
		o[a] = make(map[NamespaceID]holder)
		for _, id := range look.Node[a].IDs {
			o[a][id] = holder{node: true}
		}
		for _, c := range claimants {
			if id := c.process.Namespaces[a].ID; before.owned(a, id, c.process) {
				o.settle(a, c, false)
			}
		}
		for _, c := range claimants {
			if c.container != nil && c.container.Sandbox {
				o.settle(a, c, false)
			}
		}
		for _, c := range claimants {
			o.settle(a, c, true)
		}
	}
	return &o
}

// claimantsOf are the first processes of containers and the processes outside, the earliest first.
func claimantsOf(look *Look) []claimant {
	var all []claimant
	for i := range look.Containers {
		c := &look.Containers[i]
		if p := c.first(); p != nil {
			all = append(all, claimant{c, p})
		}
	}
	for i := range look.Outside {
		all = append(all, claimant{nil, &look.Outside[i]})
	}
	slices.SortStableFunc(all, func(x, y claimant) int {
		switch {
		case x.process.StartTime != y.process.StartTime:
			if x.process.StartTime < y.process.StartTime {
				return -1
			}
			return 1
		default:
			return x.process.PID - y.process.PID
		}
	})
	return all
}

// settle makes the claimant the owner of its namespace on the axis unless somebody is already.
func (o *ownership) settle(a Axis, c claimant, fresh bool) {
	ns := c.process.Namespaces[a]
	if ns.Reason != "" || ns.ID == (NamespaceID{}) {
		return
	}
	if _, taken := o[a][ns.ID]; taken {
		return
	}
	o[a][ns.ID] = holder{node: c.container == nil, container: c.container, process: c.process, fresh: fresh}
}

// seen is the level of one process on one axis, with what it rests on.
type seen struct {
	level  Level
	reason string // why the level is Unknown or NotApplicable
	id     NamespaceID
	owner  holder
	made   bool // nobody else holds the namespace
}

// level judges one process of a container on one axis.
func (o *ownership) level(look *Look, c *ContainerLook, p *Process, a Axis) seen {
	if c.NotApplicable != "" {
		return seen{level: NotApplicable, reason: c.NotApplicable}
	}
	ns := p.Namespaces[a]
	if a == User && p.MapsNodeRoot {
		return seen{level: Host, id: ns.ID, owner: holder{node: true}}
	}
	if ns.Reason != "" {
		return seen{level: Unknown, reason: ns.Reason}
	}
	owner, owned := o[a][ns.ID]
	s := seen{id: ns.ID, owner: owner, made: !owned}
	switch {
	case owned && owner.node:
		s.level = Host
	case owned && owner.container.owner() != c.owner():
		s.level = Foreign
	case look.Node[a].Reason != "":
		s.level, s.reason = Unknown, "the node's own namespace is not known: "+look.Node[a].Reason
	case owned && owner.container.ID != c.ID:
		s.level = min(Pod, a.ceiling())
	default:
		s.level = a.ceiling()
	}
	return s
}
