// SPDX-License-Identifier: Apache-2.0

package isolation

import "slices"

// Whose a namespace is decides the level of the processes in it. In this order it belongs to
//
//  1. the node, if the node has it;
//  2. the pod whose sandbox is in it, or was when it was seen first;
//  3. whoever it was found to belong to before;
//  4. the earliest of the first processes of containers and the processes outside of containers,
//     which are the node's;
//  5. the earliest of the other processes: a container made it for itself, below its own. First
//     processes are among them where they are no longer where their container started.
//
// A process outside of containers of which one thread is in the namespace and another is not is no
// owner by 4: it may have come for a moment. runc's does, which opens what is to be mounted in a
// thread that joins the container's mount namespace, and Go takes the first thread for that as well
// as any. Nor is it nobody, for it may have made the namespace: as long as it is there, and the
// container is not known to have been there before it, nobody can tell whose the namespace is.
// Nor does one look make an owner of who is outside: of a process that is ending some threads have
// ended before others, and what a runtime starts for a moment is outside, or seems to be.
//
// What was found before holds as long as one of the processes that were in the namespace then still
// is: so an intruder does not become the owner by outliving whose namespace it entered, and a
// number that is used again for another namespace starts anew.

// ownership is whose each namespace is, per axis.
type ownership [NumAxes]map[NamespaceID]holder

// right is why a namespace is somebody's; the lower, the better.
type right uint8

const (
	byNode right = iota
	bySandbox
	byStart
	byMaking
)

// holder says who owns a namespace.
type holder struct {
	node      bool
	container *ContainerLook // nil if the node owns it; without processes
	right     right
	// fresh is set if this look found it, and by no better right than being the earliest.
	fresh bool
	// outside names the process outside of containers that the node has it by; tentative is set if
	// the looks before, from [ConfirmAfter] ago on, did not show that.
	outside   string
	tentative bool
	// visitor names a process outside of containers that may have it, or visit it, instead of the container.
	visitor string
}

// claimant is a process that may own the namespaces it is in.
type claimant struct {
	container *ContainerLook // nil outside of containers
	process   *Process
	right     right
	// left tells the axes on which a first process has left the namespace it started in: so it
	// came into another, and was not put there.
	left [NumAxes]bool
}

// ownershipOf decides for every namespace of a look.
func ownershipOf(look *Look, before *memory) *ownership {
	var o ownership
	for _, a := range Axes {
		o[a] = make(map[NamespaceID]holder, len(look.Containers))
		for _, id := range look.Node[a].IDs {
			o[a][id] = holder{node: true}
		}
	}
	names := withoutProcesses(look)
	o.recall(look, names, before)
	claimants := claimantsOf(look, names, before)
	visitors := make(map[ownedNamespace]*Process)
	for _, right := range [...]right{bySandbox, byStart, byMaking} {
		for i := range claimants {
			o.settle(&claimants[i], right, visitors)
		}
	}
	for _, a := range Axes {
		for id, h := range o[a] {
			if h.node && h.fresh {
				h.tentative = look.At.Sub(before.heldSince(ownedNamespace{a, id}, look.At)) < ConfirmAfter
				o[a][id] = h
			}
		}
	}
	return &o
}

// withoutProcesses are the containers of a look, to be kept longer than the look itself.
func withoutProcesses(look *Look) []ContainerLook {
	names := slices.Clone(look.Containers)
	for i := range names {
		names[i].Processes, names[i].Crowd = nil, nil
	}
	return names
}

// recall settles what was found before.
func (o *ownership) recall(look *Look, names []ContainerLook, before *memory) {
	if len(before.owners) == 0 {
		return
	}
	present := make(map[string]*ContainerLook, len(names))
	renamed := make(map[string]*ContainerLook)
	for i := range names {
		c := &names[i]
		present[c.ID] = c
		// The UID of a static pod becomes known with its mirror, and changes with it.
		if was, ok := before.started[c.ID]; ok && was.owner != c.owner() {
			renamed[was.owner] = c
		}
	}
	for i := range look.Containers {
		processes := look.Containers[i].Processes
		var witness *Process
		for j := range processes {
			p := &processes[j]
			if witness != nil && p.Namespaces == witness.Namespaces {
				continue // one is enough
			}
			was, ok := before.where[p.key()]
			if !ok {
				continue
			}
			if p.ids() == *was {
				witness = p
			}
			for _, a := range Axes {
				id := p.id(a)
				if id == (NamespaceID{}) || id != was[a] {
					continue
				}
				if _, taken := o[a][id]; taken {
					continue
				}
				if h, known := before.owners[ownedNamespace{a, id}]; known {
					o[a][id] = h.recalled(present, renamed)
				}
			}
		}
	}
}

// recalled is the holder as it is called now.
func (h holder) recalled(present, renamed map[string]*ContainerLook) holder {
	h.fresh = false
	if h.container == nil {
		return h
	}
	if c := present[h.container.ID]; c != nil {
		h.container = c
	} else if c := renamed[h.container.owner()]; c != nil {
		gone := *h.container
		gone.Pod = c.Pod
		h.container = &gone
	}
	return h
}

// claimantsOf are all processes that may own a namespace, the earliest first.
func claimantsOf(look *Look, names []ContainerLook, before *memory) []claimant {
	var all []claimant
	for i := range look.Containers {
		c := &look.Containers[i]
		first := c.First()
		for j := range c.Processes {
			p := &c.Processes[j]
			switch {
			case p == first && c.Sandbox:
				all = append(all, claimant{&names[i], p, bySandbox, before.left(c, p)})
			case p == first:
				all = append(all, claimant{&names[i], p, byStart, before.left(c, p)})
			case p.Namespaces != first.Namespaces:
				all = append(all, claimant{container: &names[i], process: p, right: byMaking})
			}
		}
	}
	for i := range look.Outside {
		all = append(all, claimant{process: &look.Outside[i], right: byStart})
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

// settle makes the claimant the owner of the namespaces it is in by that right and that are
// nobody's, or one of their visitors. A sandbox takes precedence over what was found before by a
// lesser right.
func (o *ownership) settle(c *claimant, by right, visitors map[ownedNamespace]*Process) {
	for _, a := range Axes {
		own := c.right
		if c.left[a] {
			own = byMaking
		}
		id := c.process.id(a)
		if own != by || id == (NamespaceID{}) {
			continue
		}
		if h, taken := o[a][id]; taken && (by != bySandbox || h.right <= bySandbox) {
			continue
		}
		h := holder{node: c.container == nil, container: c.container, right: by, fresh: by != bySandbox}
		visitor := visitors[ownedNamespace{a, id}]
		switch {
		case h.node && c.process.Scattered[a]:
			if visitor == nil {
				visitors[ownedNamespace{a, id}] = c.process
			}
			continue
		case h.node:
			h.outside = processName(c.process)
		case visitor != nil && by != bySandbox:
			h.visitor = processName(visitor)
		}
		o[a][id] = h
	}
}

// seen is the level of one process on one axis, with what it rests on.
type seen struct {
	level  Level
	reason string // why the level is Unknown or NotApplicable
	id     NamespaceID
	owner  holder
	// visited is set if a visitor is why the level is Unknown.
	visited bool
}

// Reasons why a level is Unknown that are the look's own.
const (
	nodeUnknown = "the node's own namespace is not known"
	notRead     = "its namespace was not read"
)

// level judges one process of a container on one axis.
func (o *ownership) level(look *Look, c *ContainerLook, p *Process, a Axis) seen {
	if c.NotApplicable != "" {
		return seen{level: NotApplicable, reason: c.NotApplicable}
	}
	ns, node := &p.Namespaces[a], &look.Node[a]
	switch {
	case a == User && p.MapsNodeRoot:
		return seen{level: Host, id: ns.ID, owner: holder{node: true}}
	case ns.Reason != "":
		return seen{level: Unknown, reason: ns.Reason}
	case ns.ID == (NamespaceID{}):
		return seen{level: Unknown, reason: notRead}
	}
	// Every namespace of a container's process has an owner.
	s := seen{id: ns.ID, owner: o[a][ns.ID]}
	switch {
	case s.owner.node:
		s.level = Host
	case node.Reason != "":
		// Two pods on the node's network are not in each other's.
		s.level, s.reason = Unknown, nodeUnknown+": "+node.Reason
	case len(node.IDs) == 0:
		s.level, s.reason = Unknown, nodeUnknown
	case s.owner.visitor != "":
		s.visited = true
		s.level, s.reason = Unknown, "a thread of "+s.owner.visitor+", which is in no container, is in its "+a.String()+" namespace, and others are not: whose it is cannot be told"
	case s.owner.container.owner() != c.owner():
		s.level = Foreign
	case s.owner.container.ID != c.ID:
		s.level = min(Pod, a.ceiling())
	default:
		s.level = a.ceiling()
	}
	return s
}
