// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Who left. A process in a container's namespaces and in no cgroup of it was either brought in from outside, as CNI plugins,
// runtimes and nsenter(1) do, which is information; or it is of the container and left its cgroup, and with it the limits of
// the container: that is an escape. Its descent tells them apart, which cannot be forged:
//
//   - a process whose parent is a container's descends from it. Orphans come to the first process of their parent's pid
//     namespace, or to a subreaper in it (kernel/exit.c, find_new_reaper), so one whose parent came from outside comes to nobody
//     inside, and what was once known to descend from a container is remembered for when its parent ends;
//   - unless its session is led by a living process outside: what somebody brought in starts others, which then come to the
//     container's first process, but stay in the session in which they were started (setsid(2) only leads out of one, into a new one).
//     Who was once seen so is remembered for when the session's leader ends;
//   - the first process of a container's pid namespace is the container's in any case.
//
// In a container with a pid namespace of its own that is seen by every look. One that shares the node's can leave unseen but
// for its descent; all processes of the node are read for that every sweepEvery, and those that were found by every look.

// sweepEvery is how often the processes outside of containers are read in search of those that left one.
const sweepEvery = time.Minute

// maxLeavers is how many of those that left are remembered; others are found as long as their parents live.
const maxLeavers = 1024

// descent is what is known of processes beside what their records say.
type descent struct {
	homes homes
	// left are processes that the look before knew to have left the container.
	left map[processKey]Attribution
	// brought are those that the look before knew to have been brought into one.
	brought map[processKey]bool
	// runs tells whether a process of that number was listed.
	runs func(pid int) bool
}

// family are the processes of a look, to be found by their numbers.
type family struct {
	*descent
	records []record
	owners  []Attribution
	at      map[int]int // by PID
	// now are those that are known to have left so far, in those that are known to have been brought in.
	now map[processKey]Attribution
	in  map[processKey]bool
}

// leavers finds processes that descend from a container and are in no cgroup of it. Those that are nobody's become the container's.
func (f *family) leavers() map[processKey]Attribution {
	f.now, f.in = make(map[processKey]Attribution), make(map[processKey]bool)
	for i := range f.records {
		r := &f.records[i]
		// What is in a pod's cgroup and in no container's is told from the runtime's helpers elsewhere.
		if r.unplaced || f.member(i) || f.owners[i].Container == "" && !r.by.nobody() || len(f.now) == maxLeavers {
			continue
		}
		at, ok := f.origin(i)
		if !ok {
			continue
		}
		f.now[keyOf(&r.Process)] = at
		if r.by.nobody() {
			f.owners[i] = at
		}
	}
	return f.now
}

// member tells whether a process is in the cgroup of the container whose it is.
func (f *family) member(i int) bool {
	by, owner := &f.records[i].by, &f.owners[i]
	return by.Container != "" && by.Container == owner.Container
}

// origin is the container that a process which is no member of it descends from.
func (f *family) origin(i int) (at Attribution, ok bool) {
	r := &f.records[i]
	if at, ok = f.known(r); ok {
		return at, true
	}
	if home := f.homes[r.Namespaces[isolation.PID].ID]; home.first == keyOf(&r.Process) {
		return home.at, true
	}
	if f.broughtIn(i) {
		return at, false
	}
	// As many steps as there are processes, for a chain that is read while it changes may loop.
	pid := r.PPID
	for range f.records {
		j, found := f.at[pid]
		if !found {
			return at, false
		}
		if f.member(j) {
			return f.owners[j], true
		}
		if at, ok = f.known(&f.records[j]); ok {
			return at, true
		}
		if f.knownIn(j) {
			f.rememberIn(i)
			return at, false
		}
		pid = f.records[j].PPID
	}
	return at, false
}

// known tells whether a process was found to have left before, or in this look.
func (f *family) known(r *record) (at Attribution, ok bool) {
	if at, ok = f.now[keyOf(&r.Process)]; !ok {
		at, ok = f.left[keyOf(&r.Process)]
	}
	return at, ok
}

// broughtIn tells whether a process in a container's own pid namespace was brought in, and remembers it.
func (f *family) broughtIn(i int) bool {
	if !f.knownIn(i) && !f.ledFromOutside(i) {
		return false
	}
	f.rememberIn(i)
	return true
}

func (f *family) rememberIn(i int) {
	if len(f.in) < maxLeavers {
		f.in[keyOf(&f.records[i].Process)] = true
	}
}

// knownIn tells whether a process was found to have been brought in before, or in this look.
func (f *family) knownIn(i int) bool {
	key := keyOf(&f.records[i].Process)
	return f.brought[key] || f.in[key]
}

// ledFromOutside tells whether a process in a container's own pid namespace is of a session that somebody leads who was brought in.
func (f *family) ledFromOutside(i int) bool {
	r := &f.records[i]
	if f.owners[i].Container == "" || r.session == r.PID || !f.runs(r.session) {
		return false
	}
	leader, found := f.at[r.session]
	if !found {
		return true
	}
	if f.member(leader) || f.records[leader].session != r.session {
		return false
	}
	_, descends := f.origin(leader)
	return !descends
}

// leaverFindings tell of containers that processes were seen to have left for as long as it takes to confirm that; pending is
// set if there are others.
func (l *Looker) leaverFindings(look *isolation.Look) (findings []isolation.Finding, pending bool) {
	since := make(map[string]time.Time)
	for i := range look.Containers {
		c := &look.Containers[i]
		var first *isolation.Process
		count := 0
		for j := range c.Processes {
			p := &c.Processes[j]
			if at, ok := l.left[keyOf(p)]; ok && at.Container == c.ID {
				if count++; first == nil {
					first = p
				}
			}
		}
		if first == nil {
			continue
		}
		was, known := l.leftSince[c.ID]
		if !known {
			was = look.At
		}
		since[c.ID] = was
		if look.At.Sub(was) < isolation.ConfirmAfter {
			pending = true
			continue
		}
		command := isolation.Sanitize(first.Command, 64)
		findings = append(findings, isolation.Finding{
			Kind: v1alpha1.Escape, Pod: c.Pod, Container: c.Name, ContainerID: c.ID,
			Message: fmt.Sprintf("process %d (%q) descends from the container and has left its cgroup: the container's limits do not hold for it", first.PID, command),
			Evidence: &isolation.Evidence{
				PID: first.PID, TID: first.TID, StartTime: first.StartTime, Command: command, Processes: count,
				Check: fmt.Sprintf("cat /proc/%d/cgroup", first.PID),
			},
		})
	}
	l.leftSince = since
	return findings, pending
}

// runs tells whether one of the numbers, which are in ascending order, is that of a process.
func runs(pids []int) func(pid int) bool {
	return func(pid int) bool {
		_, found := slices.BinarySearch(pids, pid)
		return found
	}
}
