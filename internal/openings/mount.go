// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"path"
	"strings"
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
	mounts  []Mount
	byPoint map[string][]int
}

func tableOf(mounts []Mount) *table {
	t := &table{mounts: mounts, byPoint: make(map[string][]int, len(mounts))}
	for i := range mounts {
		t.byPoint[mounts[i].Point] = append(t.byPoint[mounts[i].Point], i)
	}
	return t
}

// top is the mount that is seen at a point: the one that none covers. The order of lines does not tell:
// a mount that covers another has that one as its parent, and the same point. nil if there is none.
func (t *table) top(point string) *Mount {
	at := t.byPoint[point]
	for _, i := range at {
		covered := false
		for _, j := range at {
			covered = covered || t.mounts[j].Parent == t.mounts[i].ID && i != j
		}
		if !covered {
			return &t.mounts[i]
		}
	}
	return nil
}

// on is the mount that is seen at a point of what another one shows; nil if there is none. What is below
// a mount that is covered is not seen.
func (t *table) on(below *Mount, point string) *Mount {
	m := t.top(point)
	for up := m; up != nil; up = t.parent(up) {
		if up.ID == below.ID {
			return m
		}
	}
	return nil
}

func (t *table) parent(m *Mount) *Mount {
	for i := range t.mounts {
		if t.mounts[i].ID == m.Parent && m.Parent != m.ID {
			return &t.mounts[i]
		}
	}
	return nil
}

// Node is what is known of the node's own mounts.
type Node struct {
	types    map[int]string // of the node's mounts, by their IDs
	groups   map[int]bool
	byDevice map[Device][]place
	// entries are the names in the node's /proc that masks hide; see [Masked].
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
// reader can leave out other mounts that are not at one of [Points].
func (n *Node) Has(d Device) bool { return len(n.byDevice[d]) > 0 }

// paths are where the node has what a mount shows; a file system can be mounted in several places. Empty
// if the node mounts other parts of it.
func (n *Node) paths(m *Mount) []string {
	var out []string
	root := strings.TrimSuffix(m.Root, "//deleted")
	for _, p := range n.byDevice[m.Device] {
		if path.IsAbs(root) && path.IsAbs(p.root) && within(root, p.root) {
			out = append(out, path.Join(p.point, strings.TrimPrefix(root, strings.TrimSuffix(p.root, "/"))))
		}
	}
	return out
}
