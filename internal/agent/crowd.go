// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// A container can have as many processes as its limit lets it, which often is none. All of them are read, for an escape may be
// among them, and of a crowd is kept:
//
//   - every one of the oldest, up to maxAlone: the container's first process is among them, and what was found before the crowd came;
//   - of those that are exactly where an older one is, the number only: they are no other news;
//   - of all others up to maxPlaces, and beyond that who is the first to be in the node's namespaces on just these axes: so a
//     crowd in which everyone makes namespaces for itself hides nobody who is in the node's.
//
// Who is kept in no way is missed, and the container, of which more was there than was seen, is Unknown.

const (
	// maxAlone is how many processes of a container are kept wherever they are; more than are looked at closely.
	maxAlone = 2 * maxInspected
	// maxPlaces is how many more are kept that are where nobody else of them is.
	maxPlaces = 1024
)

// tooMany is the reason why a container is Unknown of which processes were missed.
const tooMany = "more processes than are kept are in namespaces of their own: not each of them was judged"

// crowdOf is the ID of the container that a process is counted to; empty if it is none's as far as is known.
func (l *Looker) crowdOf(r *record) string {
	if id := groupID(&r.by); id != "" {
		return id
	}
	at, _ := l.homes.of(&r.Process)
	return groupID(&at)
}

// place is where a process is, and all by which it is told whose it is.
type place struct {
	by         Attribution
	namespaces [isolation.NumAxes]isolation.NamespaceID // zero where it could not be read
	nodeRoot   bool
}

func placeOf(r *record) place {
	p := place{by: r.by, nodeRoot: r.MapsNodeRoot}
	for a := range r.Namespaces {
		if ns := &r.Namespaces[a]; ns.Reason == "" {
			p.namespaces[a] = ns.ID
		}
	}
	return p
}

// nodesAxes tells on which axes a process is in the node's namespace, and on which it is not known.
func (l *Looker) nodesAxes(r *record) (nodes, unread [isolation.NumAxes]bool) {
	for a := range r.Namespaces {
		ns := &r.Namespaces[a]
		unread[a] = ns.Reason != ""
		nodes[a] = !unread[a] && isNodes(&l.nodeSets[a], ns.ID)
	}
	return nodes, unread
}

// keep adds a record to those of the look, of which there may be too many of one crowd.
func (l *Looker) keep(r *record) {
	l.records = append(l.records, *r)
	id := l.crowdOf(r)
	if id == "" {
		return
	}
	l.crowds[id]++
	// Not at each one that is too many: the cost of thinning is shared by as many as may be kept.
	if l.crowds[id] > 2*(maxAlone+maxPlaces) {
		l.thin(id)
	}
}

// thinAll leaves of every crowd what is to be kept of it.
func (l *Looker) thinAll() {
	for id, count := range l.crowds {
		if count > maxAlone {
			l.thin(id)
		}
	}
	for i := range l.records {
		slices.Sort(l.records[i].alike)
	}
}

// thin leaves of one crowd what is to be kept of it. Doing so again with those that came later leaves what doing so once would have.
func (l *Looker) thin(id string) {
	var crowd []*record
	for i := range l.records {
		if l.crowdOf(&l.records[i]) == id {
			crowd = append(crowd, &l.records[i])
		}
	}
	slices.SortStableFunc(crowd, func(x, y *record) int {
		if older(&x.Process, &y.Process) {
			return -1
		}
		return 1
	})
	type axes struct{ nodes, unread [isolation.NumAxes]bool }
	oldest, patterns := make(map[place]*record), make(map[axes]bool)
	dropped := make(map[*record]bool)
	for i, r := range crowd {
		at := placeOf(r)
		like := oldest[at]
		var pattern axes
		pattern.nodes, pattern.unread = l.nodesAxes(r)
		switch {
		case i < maxAlone:
		case like != nil:
			like.alike = append(append(like.alike, int32(r.PID)), r.alike...)
			like.Alike = len(like.alike)
			dropped[r] = true
		case i-len(dropped) < maxAlone+maxPlaces || !patterns[pattern]:
		default:
			l.missed(r)
			dropped[r] = true
		}
		if like == nil && !dropped[r] {
			oldest[at] = r
		}
		patterns[pattern] = true
	}
	kept := l.records[:0]
	for i := range l.records {
		if !dropped[&l.records[i]] {
			kept = append(kept, l.records[i])
		}
	}
	clear(l.records[len(kept):])
	l.records, l.crowds[id] = kept, len(crowd)-len(dropped)
}

// missed notes whose a process may be that is not kept: its cgroup's container's, and that of its pid namespace.
func (l *Looker) missed(r *record) {
	home, _ := l.homes.of(&r.Process)
	for _, id := range []string{groupID(&r.by), groupID(&home)} {
		if id != "" {
			l.untold[id] = true
		}
	}
}
