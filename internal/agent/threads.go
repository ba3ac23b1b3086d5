// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Threads can leave the mount, network, ipc, uts and cgroup namespaces of their process alone
// (setns(2), unshare(2)). Nothing in the process tells, so each thread has to be read. A node can
// have very many: a look reads so many of them, and the next goes on where it ended. Processes in
// which a thread was found elsewhere are read by every look, so that it can be confirmed.

// threadKinds are the kinds in which threads of one process can differ.
var threadKinds = [...]procns.Kind{procns.Net, procns.IPC, procns.UTS, procns.Mnt, procns.Cgroup}

// sweep is how far the reading of threads has come.
type sweep struct {
	// budget is how many threads this look may still read.
	budget int
	// after is the process after which this look began; last is the last one that was in turn.
	after, last int
	// full is set if the budget ended before the processes did.
	full bool
	// suspects are processes with a thread elsewhere, of the look before and of this one.
	suspects, found map[int]bool
}

// begin starts a look.
func (s *sweep) begin(budget int) {
	s.after = s.last
	if !s.full {
		s.after = 0
	}
	s.suspects = s.found
	s.found, s.full, s.last, s.budget = make(map[int]bool), false, s.after, budget
}

// turn tells whether the threads of a process are to be read in this look.
func (s *sweep) turn(pid, threads int) bool {
	if s.suspects[pid] {
		return true
	}
	if pid <= s.after || s.full {
		return false
	}
	// One process may exceed the budget, or its turn would never come.
	if threads > s.budget && s.last != s.after {
		s.full = true
		return false
	}
	s.budget -= threads
	s.last = pid
	return true
}

// threadsOf adds a record for every thread that is elsewhere than its process was seen.
func (l *Looker) threadsOf(p procns.Process, process *record) {
	if !l.sweep.turn(process.PID, process.threads) {
		return
	}
	tids, err := p.Threads()
	if err != nil {
		return
	}
	for _, tid := range tids {
		if tid == process.PID || tid == process.TID {
			continue
		}
		t, err := p.Thread(tid)
		if err != nil {
			continue // it has ended
		}
		if r, ok := l.strayed(t, process); ok {
			l.sweep.found[process.PID] = true
			l.keep(&r)
		}
		_ = t.Close() // nothing was written
	}
}

// strayed reads a thread. ok is false if it is where its process is, or has ended.
func (l *Looker) strayed(t procns.Process, process *record) (r record, ok bool) {
	r = *process
	r.TID, r.threads = t.PID, 0
	for _, kind := range threadKinds {
		if !l.link(t, kind, &r.Process) {
			return r, false
		}
		own, leaders := &r.Namespaces[kind], &process.Namespaces[kind]
		if own.Reason != "" && leaders.Reason != "" {
			*own = *leaders
		}
		ok = ok || *own != *leaders
	}
	if !ok {
		return r, false
	}
	stat, err := t.Stat()
	if errors.Is(err, procns.ErrGone) || err == nil && stat.Exited() {
		return r, false
	}
	if err == nil {
		r.StartTime, r.Command = stat.StartTime, stat.Comm
	}
	// It is of its process, not brought in from outside.
	r.PPID = r.PID
	return r, true
}

// scatter tells on which axes the threads of a process outside of containers are in more than one
// namespace, and keeps those apart that are elsewhere than their process and not in the node's. It says
// false if the process has ended. All threads are read, for it takes all of them to say that none is elsewhere.
func (l *Looker) scatter(p procns.Process, process *record) bool {
	tids, err := p.Threads()
	if errors.Is(err, procns.ErrGone) {
		return false
	}
	if err != nil {
		for _, kind := range threadKinds {
			process.Scattered[kind] = true
		}
		return true
	}
	var strayed []isolation.Process
	for _, tid := range tids {
		if tid == process.PID || tid == process.TID {
			continue
		}
		t, err := p.Thread(tid)
		if err != nil {
			continue // it has ended
		}
		if r, ok := l.strayed(t, process); ok {
			for _, kind := range threadKinds {
				process.Scattered[kind] = process.Scattered[kind] || r.Namespaces[kind] != process.Namespaces[kind]
			}
			// One for each place will do.
			if !slices.ContainsFunc(strayed, func(known isolation.Process) bool { return known.Namespaces == r.Namespaces }) {
				strayed = append(strayed, r.Process)
			}
		}
		_ = t.Close() // nothing was written
	}
	for i := range strayed {
		thread := &strayed[i]
		if l.onlyNodes(thread) {
			continue
		}
		thread.StartTime, thread.Scattered = process.StartTime, process.Scattered
		l.visitors = append(l.visitors, *thread)
	}
	return true
}

// survivor is what becomes of a thread.
type survivor uint8

const (
	taken    survivor = iota // no other is needed
	unwanted                 // it had ended before, or is not wanted: another one may be
	lost                     // it ended before it was read
)

// errRestless: a process goes on by threads of which none lasts as long as it takes to read one.
var errRestless = errors.New("its threads end, or go elsewhere, faster than they can be read")

// survivors shows the threads of a process whose first thread has ended, until one is taken. The errors
// are [procns.ErrGone] if none is left, and errRestless if the process makes new ones all the time: those of
// a process that is ending only become fewer.
func survivors(p procns.Process, read func(t procns.Process) survivor) error {
	known := make(map[int]bool)
	for range 4 {
		tids, err := p.Threads()
		if err != nil {
			return err
		}
		fresh, all := false, true
		for _, tid := range tids {
			if tid == p.PID {
				continue
			}
			fresh = fresh || !known[tid]
			known[tid] = true
			switch survivorOf(p, tid, read) {
			case taken:
				return nil
			case lost:
				all = false
			}
		}
		if all || !fresh {
			return procns.ErrGone
		}
	}
	return errRestless
}

// survivorOf shows one thread.
func survivorOf(p procns.Process, tid int, read func(t procns.Process) survivor) survivor {
	t, err := p.Thread(tid)
	if err != nil {
		return lost
	}
	defer func() { _ = t.Close() }() // nothing was written
	stat, err := t.Stat()
	switch {
	case err != nil:
		return lost
	case stat.Exited():
		return unwanted
	}
	return read(t)
}

// sharedByAll stands for the namespaces of a kind that the kernel does not have.
var sharedByAll = isolation.NamespaceID{Dev: 1}
