// SPDX-License-Identifier: Apache-2.0

package isolation

import "time"

// memory is what a look leaves behind for the next. It is built anew by every look, so what is
// gone is forgotten and it cannot grow without bound.
type memory struct {
	// owners: whose a namespace was, those of the node apart.
	owners map[ownedNamespace]holder
	// held: since when processes outside of containers have held namespaces that are not the node's yet.
	held map[ownedNamespace]time.Time
	// where the processes of containers were: they witness that a namespace is still the same.
	where map[procKey]*[NumAxes]NamespaceID
	// started: where containers began, by container ID.
	started map[string]start
	// suspicions: what a second look must confirm, since when.
	suspicions map[suspicion]time.Time
	// strays: since when a container has been unknown to the API.
	strays map[string]time.Time
	// missing: since when a container that should run has had no process.
	missing map[string]time.Time
	// visited: since when it cannot be told whose a container's namespace is, because of a visitor.
	visited map[containerAxis]time.Time
	// escaped: first processes that a former life of the agent knew to have escaped.
	escaped map[containerAxis]procKey
}

type ownedNamespace struct {
	axis Axis
	id   NamespaceID
}

// start is where a container's first process was when it was first confirmed.
type start struct {
	owner   string // of the container
	process procKey
	since   time.Time            // first seen
	home    [NumAxes]NamespaceID // of that process, when it was first confirmed
	levels  Vector               // where not known yet: not confirmed, or not readable until now
}

type containerAxis struct {
	container string
	axis      Axis
}

// suspicion is a process of a container, or any of them, seen below where the container started.
// In which namespace does not matter: who goes from one to the next is no less outside.
type suspicion struct {
	container string
	axis      Axis
	process   procKey // zero for any
}

func newMemory() memory {
	return memory{
		owners:     make(map[ownedNamespace]holder),
		held:       make(map[ownedNamespace]time.Time),
		where:      make(map[procKey]*[NumAxes]NamespaceID),
		started:    make(map[string]start),
		suspicions: make(map[suspicion]time.Time),
		strays:     make(map[string]time.Time),
		missing:    make(map[string]time.Time),
		visited:    make(map[containerAxis]time.Time),
		escaped:    make(map[containerAxis]procKey),
	}
}

// remember keeps whose each namespace was as far as that could be told, and who was in it.
func (m *memory) remember(look *Look, o *ownership, before *memory) {
	for _, a := range Axes {
		for id, h := range o[a] {
			switch of := (ownedNamespace{a, id}); {
			case h.right == byNode || h.visitor != "":
			case h.tentative:
				m.held[of] = before.heldSince(of, look.At)
			default:
				m.owners[of] = h
			}
		}
	}
	for i := range look.Containers {
		processes := look.Containers[i].Processes
		var last *[NumAxes]NamespaceID
		for j := range processes {
			// Most processes of a container are where the one before is.
			if ids := processes[j].ids(); last == nil || ids != *last {
				kept := ids
				last = &kept
			}
			m.where[processes[j].key()] = last
		}
	}
}

// heldSince is since when processes outside of containers have held a namespace: now, if they did not before.
func (m *memory) heldSince(of ownedNamespace, now time.Time) time.Time {
	if since, known := m.held[of]; known {
		return since
	}
	return now
}

// left tells the axes on which a container's first process is no longer where it was confirmed to be.
func (m *memory) left(c *ContainerLook, first *Process) (axes [NumAxes]bool) {
	started := m.started[c.ID]
	if started.process != first.whole() {
		return axes
	}
	for _, a := range Axes {
		axes[a] = started.home[a] != (NamespaceID{}) && started.home[a] != first.id(a)
	}
	return axes
}

// suspect remembers a suspicion, and tells since when there is one: now, if there was none before.
func (m *memory) suspect(s suspicion, before *memory, now time.Time) time.Time {
	since, ok := before.suspicions[s]
	if !ok {
		since = now
	}
	m.suspicions[s] = since
	return since
}
