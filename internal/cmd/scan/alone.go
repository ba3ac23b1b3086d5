// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Processes that are in no container and have namespaces of their own: what unshare(1), bubblewrap, a
// browser or `ip netns exec` starts, and services of the machine. They are told as information, for
// nobody promised anything about them: they have levels and no findings.

// aloneGroup are processes that share namespaces which are neither the node's nor a container's alone.
type aloneGroup struct {
	processes []isolation.Process // the first one first
	levels    isolation.Vector
	inodes    [isolation.NumAxes]uint64
}

// service tells whether the group has no more of its own than services of the machine have, which
// service managers give mounts of their own as a matter of course: everybody else who wants to be
// apart takes a pid, network or user namespace.
func (g *aloneGroup) service() bool {
	for _, a := range []isolation.Axis{isolation.PID, isolation.Network, isolation.User} {
		if g.levels[a] > isolation.Host {
			return false
		}
	}
	return true
}

// aloneWatch is what is kept of them from look to look. What is seen once only may be a container that
// is being started.
type aloneWatch struct {
	tracker *isolation.Tracker
	before  map[aloneProcess]bool
}

func newAloneWatch() *aloneWatch { return &aloneWatch{tracker: isolation.NewTracker(nil)} }

// aloneProcess is a process in its namespaces.
type aloneProcess struct {
	pid   int
	start uint64
	in    [isolation.NumAxes]isolation.Namespace
}

// groups finds the groups of a look at everything that the look before saw as well.
//
// They are judged as if they were containers, beside these: whose a namespace is, is decided in one
// place for all.
func (w *aloneWatch) groups(look *isolation.Look) []aloneGroup {
	now := make(map[aloneProcess]bool)
	together := *look
	together.Outside, together.Containers = nil, slices.Clone(look.Containers)
	var apart []isolation.Process
	for i := range look.Outside {
		if p := &look.Outside[i]; isApart(p, look) && !p.Strayed() {
			now[aloneProcess{p.PID, p.StartTime, p.Namespaces}] = true
			apart = append(apart, *p)
		} else {
			together.Outside = append(together.Outside, *p)
		}
	}
	groups := make(map[string][]isolation.Process)
	for _, processes := range grouped(apart, look) {
		id := "alone-" + strconv.Itoa(processes[0].PID)
		groups[id] = processes
		byPID := slices.SortedFunc(slices.Values(processes), func(p, q isolation.Process) int { return cmp.Compare(p.PID, q.PID) })
		together.Containers = append(together.Containers, isolation.ContainerLook{ID: id, Processes: byPID})
	}
	before := w.before
	w.before = now
	// It has the processes outside of containers, so it cannot ask for them, which is its only error.
	observation, _ := w.tracker.Observe(&together)
	var out []aloneGroup
	for i := range observation.Containers {
		c := &observation.Containers[i]
		processes := groups[c.ID]
		if len(processes) == 0 {
			continue
		}
		if first := &processes[0]; before[aloneProcess{first.PID, first.StartTime, first.Namespaces}] {
			out = append(out, aloneGroup{processes, c.Levels, c.Inodes})
		}
	}
	return out
}

// isApart tells whether the process is known to be in a namespace that is not the node's.
func isApart(p *isolation.Process, look *isolation.Look) bool {
	for _, a := range isolation.Axes {
		if isOwn(p, a, look) {
			return true
		}
	}
	return false
}

func isOwn(p *isolation.Process, a isolation.Axis, look *isolation.Look) bool {
	ns, node := p.Namespaces[a], &look.Node[a]
	return ns.Reason == "" && len(node.IDs) > 0 && !slices.Contains(node.IDs, ns.ID)
}

// grouped puts together processes that share a namespace of their own, directly or by way of others.
// Where some of them have a pid namespace of their own, the others stand outside and watch, as
// unshare(1) itself does: they are left out.
func grouped(apart []isolation.Process, look *isolation.Look) [][]isolation.Process {
	type place struct {
		axis isolation.Axis
		id   isolation.NamespaceID
	}
	group := make([]int, len(apart)) // by process: the lowest one that is known to be with it
	root := func(i int) int {
		for group[i] != i {
			i = group[i]
		}
		return i
	}
	first := make(map[place]int)
	for i := range apart {
		group[i] = i
		for _, a := range isolation.Axes {
			if !isOwn(&apart[i], a, look) {
				continue
			}
			at := place{a, apart[i].Namespaces[a].ID}
			other, known := first[at]
			if !known {
				first[at] = i
				continue
			}
			x, y := root(i), root(other)
			group[max(x, y)] = min(x, y)
		}
	}
	members := make(map[int][]isolation.Process)
	for i := range apart {
		members[root(i)] = append(members[root(i)], apart[i])
	}
	var out [][]isolation.Process
	for _, at := range slices.Sorted(maps.Keys(members)) {
		inside := slices.DeleteFunc(slices.Clone(members[at]), func(p isolation.Process) bool { return !isOwn(&p, isolation.PID, look) })
		if len(inside) == 0 {
			inside = members[at]
		}
		slices.SortStableFunc(inside, func(p, q isolation.Process) int { return cmp.Compare(p.StartTime, q.StartTime) })
		out = append(out, inside)
	}
	return out
}
