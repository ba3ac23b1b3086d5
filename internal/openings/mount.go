// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"path"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Mount is a line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID, Parent     int
	Device         Device
	Root, Point    string
	ReadOnly       bool // by the mount or by its file system
	Shared, Master int
	FSType         string
}

// Device is the number of a file system: two mounts of the same show the same files.
type Device struct{ Major, Minor uint32 }

// table is the mounts of one namespace, found by what is asked for.
type table struct {
	byID map[int]*Mount
	// tops are the mounts that are seen, by their points.
	tops map[string]*Mount
}

// tableOf finds out which mount is seen at each point: the one that none covers. The order of lines does
// not tell: a mount that covers another has that one as its parent, and the same point.
func tableOf(mounts []Mount) *table {
	t := &table{byID: make(map[int]*Mount, len(mounts)), tops: make(map[string]*Mount, len(mounts))}
	for i := range mounts {
		t.byID[mounts[i].ID] = &mounts[i]
	}
	covered := make(map[int]bool)
	for i := range mounts {
		if below := t.byID[mounts[i].Parent]; below != nil && below != &mounts[i] && below.Point == mounts[i].Point {
			covered[below.ID] = true
		}
	}
	for i := range mounts {
		if !covered[mounts[i].ID] {
			t.tops[mounts[i].Point] = &mounts[i]
		}
	}
	return t
}

// on is the mount that is seen at a point of what another one shows; nil if there is none. What is below
// a mount that is covered is not seen. A table is no snapshot, and whoever moves mounts while it is read
// can make a circle of it: then nothing is seen there.
func (t *table) on(below *Mount, point string) *Mount {
	m := t.tops[point]
	for up, steps := m, 0; up != nil && steps <= len(t.byID); up, steps = t.byID[up.Parent], steps+1 {
		if up.ID == below.ID {
			return m
		}
	}
	return nil
}

// Node is what is known of the node's own mounts.
type Node struct {
	types    map[int]string // of the node's mounts, by their IDs
	groups   map[int]bool
	byDevice map[Device][]place
	// entries are the names in the node's /proc that masks hide; see [ProcEntries].
	entries map[string]bool
}

// place is where the node shows a part of a file system.
type place struct{ root, point string }

// NodeOf takes the mounts of the node's own mount namespace, and which of [ProcEntries] its /proc has.
func NodeOf(mounts []Mount, entries []string) *Node {
	n := &Node{
		types: make(map[int]string, len(mounts)), groups: map[int]bool{}, byDevice: map[Device][]place{}, entries: map[string]bool{},
	}
	for i := range mounts {
		m := &mounts[i]
		n.types[m.ID] = m.FSType
		if m.Shared != 0 {
			n.groups[m.Shared] = true
		}
		n.byDevice[m.Device] = append(n.byDevice[m.Device], place{m.Root, m.Point})
	}
	for _, name := range entries {
		n.entries[name] = true
	}
	return n
}

// Has tells whether the node mounts the file system: only such a mount can show a part of the node. A
// reader can leave out other mounts but for what [Concerns] tells of.
func (n *Node) Has(d Device) bool { return len(n.byDevice[d]) > 0 }

// paths are where the node has what a mount shows; a file system can be mounted in several places. Empty
// if the node mounts other parts of it.
func (n *Node) paths(m *Mount) []string {
	var out []string
	root := strings.TrimSuffix(m.Root, "//deleted")
	for _, p := range n.byDevice[m.Device] {
		if path.IsAbs(root) && path.IsAbs(p.root) && isolation.Within(root, p.root) {
			out = append(out, path.Join(p.point, strings.TrimPrefix(root, strings.TrimSuffix(p.root, "/"))))
		}
	}
	return out
}
