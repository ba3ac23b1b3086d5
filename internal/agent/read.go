// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"io/fs"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// gather reads one process: its cgroup and pid namespace, and if these are of a container, or if
// all processes are asked for, everything else. What has ended, kernel threads and zombies are left
// out. Everything is read through one handle on the process, which never shows its successor. It tells whether
// the process is nobody's: in no container's cgroup, and in the node's pid namespace.
func (l *Looker) gather(pid int, outside bool) (nobodys bool) {
	p, err := l.fs.Process(pid)
	if err != nil {
		return false // gone, or a tree without permission to enter
	}
	defer func() { _ = p.Close() }() // nothing was written
	cgroups, err := p.Cgroups()
	if errors.Is(err, procns.ErrGone) {
		return false
	}
	if err != nil {
		// It lives, and its cgroup cannot be told: its pid namespace may tell whose it is.
		cgroups = nil
	}
	r := record{by: l.attributor.of(cgroups), unplaced: err != nil}
	r.PID = pid
	l.refused = false
	if !l.link(p, procns.PID, &r.Process) {
		return false
	}
	home := !r.unplaced && r.Namespaces[isolation.PID].Reason == "" && !l.elsewhere(&r.Process)
	l.readable = l.readable || !l.refused && pid != l.self
	l.refusedAll = l.refusedAll || l.refused
	candidate := outside || l.contained(&r) || l.leftPIDs[pid]
	if !candidate && !inRoot(cgroups) {
		return home
	}
	if !l.rest(p, &r, candidate) {
		return home && r.by.nobody()
	}
	// In a pod's cgroup and in no container's are processes of the runtime.
	if (outside || r.by.PodUID != "") && r.by.Container == "" && !l.elsewhere(&r.Process) && r.threads > 1 && !l.scatter(p, &r) {
		return home && r.by.nobody()
	}
	if r.by.nobody() && l.onlyNodes(&r.Process) && !l.sharing[r.PPID] && !l.leftPIDs[pid] && !l.leftPIDs[r.PPID] {
		return home // it owns nothing that is not the node's anyway, and there can be very many
	}
	l.keep(&r)
	if r.by.Container != "" && !l.elsewhere(&r.Process) {
		l.sharing[pid] = true
	}
	if !l.contained(&r) {
		return home
	}
	l.refusedInside = l.refusedInside || l.refused && !r.by.nobody()
	if r.threads > 1 {
		l.threadsOf(p, &r)
	}
	return false
}

// contained tells whether a process is in a container, or may be.
func (l *Looker) contained(r *record) bool { return !r.by.nobody() || l.elsewhere(&r.Process) }

// elsewhere tells whether a process is known to be in a pid namespace that is not the node's.
func (l *Looker) elsewhere(p *isolation.Process) bool {
	ns, node := p.Namespaces[isolation.PID], &l.nodeSets[isolation.PID]
	return ns.Reason == "" && len(node.IDs) > 0 && !isNodes(node, ns.ID)
}

// onlyNodes tells whether a process is known to be in no other namespaces than the node's.
func (l *Looker) onlyNodes(p *isolation.Process) bool {
	for a := range p.Namespaces {
		if ns := &p.Namespaces[a]; ns.Reason != "" || !isNodes(&l.nodeSets[a], ns.ID) {
			return false
		}
	}
	return true
}

// rest reads stat, and if the process is a candidate its other links. It says false if the process
// is to be left out.
func (l *Looker) rest(p procns.Process, r *record, candidate bool) bool {
	stat, err := p.Stat()
	if err != nil {
		if errors.Is(err, procns.ErrGone) || !candidate {
			return false
		}
		r.unknown(err)
		return true
	}
	if stat.KernelThread() {
		return false
	}
	r.PPID, r.StartTime, r.Command, r.threads, r.session = stat.PPID, stat.StartTime, stat.Comm, stat.NumThreads, stat.Session
	if stat.Exited() {
		// A zombie, unless only its first thread has ended.
		return stat.NumThreads > 1 && l.leaderless(p, r, candidate)
	}
	if !candidate || !l.links(p, &r.Process) {
		return false
	}
	if l.exited {
		// Between the one and the other.
		return stat.NumThreads > 1 && l.leaderless(p, r, candidate)
	}
	return true
}

// leaderless reads a process whose first thread has ended through one that lives.
func (l *Looker) leaderless(p procns.Process, r *record, candidate bool) bool {
	err := survivors(p, func(t procns.Process) survivor { return l.survivor(t, r, candidate) })
	if errors.Is(err, errRestless) && !r.by.nobody() {
		r.TID, r.Namespaces = 0, [isolation.NumAxes]isolation.Namespace{}
		r.unknown(err)
		return true
	}
	return err == nil
}

// survivor reads one thread of a process whose first has ended.
func (l *Looker) survivor(t procns.Process, r *record, candidate bool) survivor {
	if r.by.nobody() {
		// On v1 the process seems to be in the root: the thread tells where it is.
		if cgroups, err := t.Cgroups(); err == nil {
			r.by = l.attributor.of(cgroups)
		}
		if r.by.nobody() && !candidate {
			return unwanted
		}
	}
	r.TID = t.PID
	if !l.link(t, procns.PID, &r.Process) || !l.links(t, &r.Process) || l.exited {
		return lost
	}
	return taken
}

// links reads the links other than pid. It says false if the process has ended meanwhile.
func (l *Looker) links(p procns.Process, into *isolation.Process) bool {
	l.exited = false
	for kind := procns.PID + 1; kind < procns.NumKinds; kind++ {
		if !l.link(p, kind, into) {
			return false
		}
	}
	user := &into.Namespaces[isolation.User]
	if user.Reason != "" || isNodes(&l.nodeSets[isolation.User], user.ID) {
		return true
	}
	ids, err := p.UIDMap()
	switch {
	case err == nil:
		into.MapsNodeRoot = ids.ContainsOutside(0)
	case errors.Is(err, procns.ErrGone):
		return false
	default:
		l.exited = l.exited || errors.Is(err, procns.ErrExited)
		user.Reason = err.Error()
	}
	return true
}

// link reads one link. It says false if the process has ended.
func (l *Looker) link(p procns.Process, kind procns.Kind, into *isolation.Process) bool {
	ns := &into.Namespaces[kind]
	id, err := p.Namespace(kind)
	switch {
	case err == nil:
		*ns = isolation.Namespace{ID: isolation.NamespaceID{Dev: id.Dev, Inode: id.Ino}}
	case errors.Is(err, procns.ErrGone):
		return false
	case errors.Is(err, procns.ErrExited):
		// Its threads, if it has any left, are read instead.
		l.exited = true
		*ns = isolation.Namespace{Reason: err.Error()}
	case errors.Is(err, procns.ErrUnsupported) && errors.Is(l.node.Sets[kind].Err, procns.ErrUnsupported):
		// Without such namespaces in the kernel everybody shares what there is.
		*ns = isolation.Namespace{ID: sharedByAll}
	default:
		l.refused = l.refused || errors.Is(err, fs.ErrPermission)
		*ns = isolation.Namespace{Reason: err.Error()}
	}
	return true
}

// unknown marks a process that lives and could not be read.
func (r *record) unknown(err error) {
	for a := range r.Namespaces {
		if r.Namespaces[a].Reason == "" && r.Namespaces[a].ID == (isolation.NamespaceID{}) {
			r.Namespaces[a].Reason = err.Error()
		}
	}
}
