// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// settling is how long a process must have been nobody's before it is not asked for its cgroups at every look, and
// how far apart it is asked after that. It is long: of a container in the node's pid namespace the runtime begins
// every process as one of its own, and puts it into the container's cgroup then.
const settling = time.Minute

// nobodys are the processes that were nobody's when they were last asked: in no container's cgroup, and in the node's
// pid namespace. Most processes of a node are, for as long as they live, and most of what a look costs is to ask
// them again. In whose pid namespace they are they are asked all the same: nobody who enters a container's or comes
// out of one is missed. Who is put into a container's cgroup and stays in the node's pid namespace all the while is
// found within a minute; that takes the node's own root.
type nobodys struct {
	// before and now are those of the last look and of the one that is being taken, by number; at is how far
	// before was read.
	before, now []nobody
	at          int
	// first is when the first look was taken; last and this are the seconds from then to the last and to this one.
	first      time.Time
	last, this uint32
}

// nobody is one of them. There can be very many.
type nobody struct {
	inode uint64
	pid   int32
	// since is how many seconds after the first look it was found; of one that is settled, settling before it was last asked.
	since uint32
}

// begin prepares a look.
func (n *nobodys) begin(now time.Time) {
	if n.first.IsZero() {
		n.first = now
	}
	n.before, n.now, n.at = n.now, n.before[:0], 0
	if cap(n.now) > 4*len(n.before)+1024 {
		n.now = nil // what a crowd took that is no more is given back
	}
	n.last, n.this = n.this, uint32(max(0, now.Sub(n.first)/time.Second)) //nolint:gosec // 136 years
}

// find is what is known of a process; nil if nothing is. Processes are asked for in ascending order.
func (n *nobodys) find(e procns.Entry) *nobody {
	for n.at < len(n.before) && int(n.before[n.at].pid) < e.PID {
		n.at++
	}
	if n.at == len(n.before) || int(n.before[n.at].pid) != e.PID || n.before[n.at].inode != e.Inode {
		return nil
	}
	return &n.before[n.at]
}

const settlingSeconds = uint32(settling / time.Second)

// settled tells whether a process has been nobody's for so long that it need not be asked for its cgroups now.
func (n *nobodys) settled(e procns.Entry) bool {
	known := n.find(e)
	return known != nil && n.last-known.since >= settlingSeconds && n.this-known.since < 2*settlingSeconds
}

// keep notes that a process is nobody's, and whether it was asked for its cgroups for that. Whatever it was asked for counts:
// looks are never the same time apart, and who kept to a minute of its own would be asked again soon after a look at everybody.
func (n *nobodys) keep(e procns.Entry, asked bool) {
	since := n.this
	if known := n.find(e); known != nil {
		since = known.since
		if asked && n.this-since >= settlingSeconds {
			since = n.this - settlingSeconds
		}
	}
	n.now = append(n.now, nobody{e.Inode, int32(e.PID), since}) //nolint:gosec // pid_max is 2²²
}

// home tells at a glance whether a process is in the node's pid namespace. One that began after the list was made,
// under the number of one that ended, can be missed here as it is missed in the list.
func (l *Looker) home(pid int) bool {
	id, ok := l.fs.Glance(pid, procns.PID)
	if !ok {
		return false
	}
	l.readable = l.readable || pid != l.self
	node := &l.nodeSets[isolation.PID]
	return len(node.IDs) > 0 && isNodes(node, isolation.NamespaceID{Dev: id.Dev, Inode: id.Ino})
}
