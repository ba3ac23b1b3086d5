// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Whose a process is. Its cgroup says so, but root in a container that reaches the node's cgroups
// can move itself into others. Its pid namespace says so too, where the container has one of its
// own, and that cannot be forged: setns(2) leads down into pid namespaces, never up or sideways. So
//
//   - a process in a container's own pid namespace is that container's, whatever its cgroup says;
//   - unless its cgroup is of a container that shares the node's pid namespace: from there a
//     process can go down into others, and then the intruder is to blame and not its host;
//   - within one pod the cgroup tells the containers apart.

// record is a process with what its cgroup says.
type record struct {
	isolation.Process
	by      Attribution
	threads int
	// session is the number of the process that leads or led the session.
	session int
	// unplaced is set if its cgroup could not be read.
	unplaced bool
	// alike are the numbers of younger processes that are exactly where this one is, and of which nothing else is kept.
	alike []int32
}

// home is the container that a pid namespace belongs to, by the namespace's first process.
type home struct {
	first processKey
	at    Attribution
}

// processKey identifies a process across looks.
type processKey struct {
	pid   int
	start uint64
}

func keyOf(p *isolation.Process) processKey { return processKey{p.PID, p.StartTime} }

func older(p, q *isolation.Process) bool {
	return p.StartTime < q.StartTime || p.StartTime == q.StartTime && p.PID < q.PID
}

// homes are pid namespaces with the containers they belong to. They are kept from look to look, so
// that moving a namespace's first process to another cgroup changes nothing.
type homes map[isolation.NamespaceID]home

// homesOf finds the home of every pid namespace that is not the node's.
func homesOf(records []record, node *isolation.NodeNamespaces, before homes) homes {
	if len(node.IDs) == 0 {
		return nil
	}
	first := make(map[isolation.NamespaceID]*record)
	for i := range records {
		r := &records[i]
		ns := r.Namespaces[isolation.PID]
		if ns.Reason != "" || isNodes(node, ns.ID) {
			continue
		}
		if other := first[ns.ID]; other == nil || older(&r.Process, &other.Process) {
			first[ns.ID] = r
		}
	}
	after := make(homes, len(first))
	for id, r := range first {
		key := keyOf(&r.Process)
		if known, ok := before[id]; ok && known.first == key {
			after[id] = known
			continue
		}
		// A runtime may make the process before it moves it into the container's cgroup.
		if r.by.Container != "" {
			at := r.by
			at.Disagreement = ""
			after[id] = home{first: key, at: at}
		}
	}
	return after
}

func isNodes(node *isolation.NodeNamespaces, id isolation.NamespaceID) bool {
	for _, own := range node.IDs {
		if own == id {
			return true
		}
	}
	return false
}

// of is the home of a process; ok is false if it has none, as in the node's pid namespace.
func (h homes) of(p *isolation.Process) (Attribution, bool) {
	ns := p.Namespaces[isolation.PID]
	if ns.Reason != "" {
		return Attribution{}, false
	}
	home, ok := h[ns.ID]
	return home.at, ok
}

// sameOwner tells whether two attributions are of one pod, or of one container in no pod.
func sameOwner(x, y *Attribution) bool {
	if x.PodUID != "" || y.PodUID != "" {
		return x.PodUID == y.PodUID
	}
	return x.Container == y.Container
}

// enclosed are the containers (by ID) whose processes cannot be in another's pid namespace: their
// own first process is in one of its own, or of its pod.
func (h homes) enclosed(records []record) map[string]bool {
	first := make(map[string]*record)
	for i := range records {
		r := &records[i]
		if r.by.Container == "" {
			continue
		}
		if at, ok := h.of(&r.Process); ok && !sameOwner(&at, &r.by) {
			// Not at home here: it says nothing about the container that its cgroup names.
			continue
		}
		if other := first[r.by.Container]; other == nil || older(&r.Process, &other.Process) {
			first[r.by.Container] = r
		}
	}
	enclosed := make(map[string]bool, len(first))
	for id, r := range first {
		_, enclosed[id] = h.of(&r.Process)
	}
	return enclosed
}

// group is a container with its processes.
type group struct {
	at        Attribution
	processes []isolation.Process
	crowd     []int32 // see [isolation.ContainerLook]
}

// assignment is whose every process of a look is.
type assignment struct {
	// groups in order of first appearance.
	groups []*group
	// outside are the processes in no container.
	outside []isolation.Process
	// left are processes that descend from a container and are in no cgroup of it.
	left map[processKey]Attribution
	// brought are processes in a container's namespaces that were brought in from outside.
	brought map[processKey]bool
	// disputed are processes whose v1 hierarchies name different pods.
	disputed []dispute
}

// dispute is a process that v1 hierarchies attribute to different pods.
type dispute struct {
	at      Attribution
	process isolation.Process
	between string
}

// assign decides whose every process is. Records are in ascending order of PID.
func assign(records []record, d *descent, node *isolation.NodeNamespaces) *assignment {
	enclosed := d.homes.enclosed(records)
	a := &assignment{}
	groups := make(map[string]*group)
	f := family{
		descent: d, records: records, owners: make([]Attribution, len(records)), at: make(map[int]int, len(records)),
	}
	for i := range records {
		f.owners[i] = d.homes.owner(&records[i], enclosed)
		if records[i].PPID != records[i].PID { // a thread is found by its process
			f.at[records[i].PID] = i
		}
		for _, pid := range records[i].alike {
			f.at[int(pid)] = i
		}
	}
	a.left, a.brought = f.leavers(), f.in
	contained := containment{pids: make(map[int]bool, len(records))}
	for i := range records {
		if f.owners[i].Container != "" {
			contained.add(&records[i])
		}
	}
	parents := parentsOf(records)
	for i := range records {
		r, at := &records[i], f.owners[i]
		if at.Container == "" {
			if at.PodUID == "" || isHelper(r, node, parents, contained) {
				a.outside = append(a.outside, r.Process)
				continue
			}
			at.Container = strayID(at.PodUID)
		}
		g := groups[at.Container]
		if g == nil {
			g = &group{at: at}
			groups[at.Container] = g
			a.groups = append(a.groups, g)
		}
		g.processes = append(g.processes, r.Process)
		g.crowd = append(g.crowd, r.alike...)
		if r.by.Disagreement != "" {
			a.disputed = append(a.disputed, dispute{at, r.Process, r.by.Disagreement})
		}
	}
	for _, g := range a.groups {
		slices.Sort(g.crowd)
	}
	return a
}

// owner is whose one process is.
func (h homes) owner(r *record, enclosed map[string]bool) Attribution {
	at, ok := h.of(&r.Process)
	switch {
	case !ok:
		return r.by
	case r.by.nobody() || r.by.Container == "" && sameOwner(&at, &r.by):
		return at
	case sameOwner(&at, &r.by):
		return r.by
	case r.by.Container != "" && !enclosed[r.by.Container]:
		return r.by
	default:
		return at
	}
}

// strayPrefix begins the ID that stands for what is in a pod's cgroup and in no container's.
const strayPrefix = "pod-"

// strayID is the ID of the container that a pod's processes in no container are counted as.
func strayID(podUID string) string { return strayPrefix + podUID }

// containment tells which processes are in containers.
type containment struct {
	pids   map[int]bool
	crowds [][]int32
}

func (c *containment) add(r *record) {
	c.pids[r.PID] = true
	if len(r.alike) > 0 {
		c.crowds = append(c.crowds, r.alike)
	}
}

func (c *containment) has(pid int) bool {
	return c.pids[pid] || slices.ContainsFunc(c.crowds, func(pids []int32) bool {
		_, found := slices.BinarySearch(pids, int32(pid))
		return found
	})
}

// groupID is the ID of the container that an attribution counts to; empty if it names nobody.
func groupID(at *Attribution) string {
	if at.Container == "" && at.PodUID != "" {
		return strayID(at.PodUID)
	}
	return at.Container
}

// parentsOf maps the processes of a look to their parents.
func parentsOf(records []record) map[int]int {
	parents := make(map[int]int, len(records))
	for i := range records {
		parents[records[i].PID] = records[i].PPID
	}
	return parents
}

// isHelper tells whether a process in a pod's cgroup and in no container's is the runtime's, as
// CRI-O's conmon is: it is in the node's pid namespace, and does not descend from a container.
//
// A pid namespace of its own makes it none, though it is nobody's home: that is what a container looks like
// which somebody started there by hand. Where the node's is not known, only the descent is asked.
func isHelper(r *record, node *isolation.NodeNamespaces, parents map[int]int, contained containment) bool {
	ns := r.Namespaces[isolation.PID]
	if ns.Reason != "" || len(node.IDs) > 0 && !isNodes(node, ns.ID) {
		return false
	}
	// As many steps as there are processes, for a chain that is read while it changes may loop.
	pid := r.PPID
	for range parents {
		if contained.has(pid) {
			return false
		}
		parent, ok := parents[pid]
		if !ok {
			break
		}
		pid = parent
	}
	return true
}
