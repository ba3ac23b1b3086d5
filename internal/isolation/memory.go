// SPDX-License-Identifier: Apache-2.0

package isolation

import "time"

// memory is what a look leaves behind for the next. It is built anew by every look, so what is
// gone is forgotten and it cannot grow without bound.
type memory struct {
	// owners: whose a namespace was, and which process showed it.
	owners map[ownedNamespace]procKey
	// started: where containers began, by container ID.
	started map[string]start
	// suspicions: what a second look must confirm, since when.
	suspicions map[suspicion]time.Time
	// strays: since when a container has been unknown to the API.
	strays map[string]time.Time
	// made: namespaces that a container made for itself: no process outside holds them. By the
	// process that was seen in them.
	made map[ownedNamespace]procKey
	// escaped: first processes that a former life of the agent knew to have escaped.
	escaped map[containerAxis]procKey
}

type ownedNamespace struct {
	axis Axis
	id   NamespaceID
}

// start is where a container's first process was when it was first confirmed.
type start struct {
	process procKey
	since   time.Time // first seen
	levels  Vector    // where not known yet: not confirmed, or not readable until now
}

type containerAxis struct {
	container string
	axis      Axis
}

// suspicion is a process, or any process of the container, seen in a namespace below its own.
type suspicion struct {
	container string
	axis      Axis
	id        NamespaceID
	process   procKey
}

func newMemory() memory {
	return memory{
		owners:     make(map[ownedNamespace]procKey),
		started:    make(map[string]start),
		suspicions: make(map[suspicion]time.Time),
		strays:     make(map[string]time.Time),
		made:       make(map[ownedNamespace]procKey),
		escaped:    make(map[containerAxis]procKey),
	}
}

// owned tells whether p was seen to own the namespace before.
func (m *memory) owned(a Axis, id NamespaceID, p *Process) bool {
	key, ok := m.owners[ownedNamespace{a, id}]
	return ok && key == p.key()
}

// remember keeps whose each namespace was.
func (m *memory) remember(o *ownership) {
	for _, a := range Axes {
		for id, h := range o[a] {
			if h.process != nil {
				m.owners[ownedNamespace{a, id}] = h.process.key()
			}
		}
	}
}

// suspicionAt is since when something has been suspected: now, if it was not before.
func (m *memory) suspicionAt(s suspicion, now time.Time) time.Time {
	if since, ok := m.suspicions[s]; ok {
		return since
	}
	return now
}
