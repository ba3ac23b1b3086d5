// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// What a close look at one container may cost. Beyond it the container is unverified, for what was not
// read may be what matters.
const (
	// maxMounts is how many mounts are kept; of the others only the numbers are.
	maxMounts = 2048
	// maxMountIDs is how many mounts are read.
	maxMountIDs = 30_000
	// maxInspected is how many processes are read.
	maxInspected = 512
	// maxOpenFiles is how many open files of a process are read.
	maxOpenFiles = 4096
)

// inspect looks closely at the containers for which it is time.
func (l *Looker) inspect(look *isolation.Look) error {
	i := &openings.Inspection{At: look.At, Pods: make(map[string]isolation.PodRef, len(look.Containers))}
	index := indexOf(l.dir)
	var due []*isolation.ContainerLook
	for j := range look.Containers {
		c := &look.Containers[j]
		if len(c.Processes) == 0 || c.NotApplicable != "" || c.First().Namespaces[isolation.Mount].Reason != "" {
			continue // whose namespaces could not be read is told already
		}
		i.Pods[c.ID] = c.Pod
		listed, known := index.containers[c.ID]
		if !c.Sandbox && l.inspector.Due(c.ID, known && listed.container.Grant != nil, look.At) {
			due = append(due, c)
		}
	}
	if len(due) > 0 {
		node, err := l.nodeMounts()
		if err != nil {
			return err
		}
		i.Node = node
		for _, c := range due {
			i.Containers = append(i.Containers, l.container(c, node, index, look))
		}
	}
	l.inspector.Inspect(i)
	return nil
}

// nodeMounts reads what the node itself mounts, as its first process sees it.
func (l *Looker) nodeMounts() (*openings.Node, error) {
	p, err := l.fs.Process(1)
	if err != nil {
		return nil, fmt.Errorf("read the node's mounts: %w", err)
	}
	defer func() { _ = p.Close() }() // nothing was written
	var mounts []openings.Mount
	if err := p.Mounts(func(m procns.Mount) bool {
		mounts = append(mounts, mountOf(&m))
		return len(mounts) < maxMountIDs
	}); err != nil {
		return nil, fmt.Errorf("read the node's mounts: %w", err)
	}
	if len(mounts) == maxMountIDs {
		return nil, fmt.Errorf("read the node's mounts: there are %d or more", maxMountIDs)
	}
	var entries []string
	for _, name := range openings.ProcEntries() {
		if l.fs.Has(name) {
			entries = append(entries, name)
		}
	}
	return openings.NodeOf(mounts, entries), nil
}

func mountOf(m *procns.Mount) openings.Mount {
	return openings.Mount{
		ID: m.ID, Parent: m.Parent, Device: openings.Device{Major: m.Major, Minor: m.Minor}, Root: m.Root, Point: m.Point,
		ReadOnly: m.ReadOnly || m.SuperReadOnly, Shared: m.Shared, Master: m.Master, FSType: m.FSType,
	}
}

// container looks closely at one container.
func (l *Looker) container(look *isolation.ContainerLook, node *openings.Node, x *index, all *isolation.Look) openings.Container {
	c := openings.Container{Pod: look.Pod, Name: look.Name, ID: look.ID, Directory: l.directories[look.ID]}
	if listed, ok := x.containers[look.ID]; ok {
		c.Grant = listed.container.Grant
	}
	first := look.First()
	remote, err := l.mountsOf(first, &c, node)
	switch {
	case errors.Is(err, procns.ErrGone):
		return c // it ended: there is nothing to say of it
	case err != nil:
		c.Unread = "its mounts could not be read: " + err.Error()
	}
	if user := first.Namespaces[isolation.User]; user.Reason == "" && !isNodes(&all.Node[isolation.User], user.ID) {
		c.UserIDs = l.userIDs(first)
	}
	for i := range look.Processes {
		p := &look.Processes[i]
		if len(c.Processes) == maxInspected {
			c.Unread = fmt.Sprintf("it has more than %d processes: not all of them were looked at closely", maxInspected)
			break
		}
		read, err := l.closely(p, !remote)
		if err != nil {
			if !errors.Is(err, procns.ErrGone) && !errors.Is(err, procns.ErrExited) {
				c.Unread = "a process of it could not be looked at closely: " + err.Error()
			}
			continue
		}
		read.Outside = outside(p, all)
		c.Processes = append(c.Processes, read)
		if p == first { // it stands first
			last := len(c.Processes) - 1
			c.Processes[0], c.Processes[last] = c.Processes[last], c.Processes[0]
		}
	}
	if len(c.Processes) == 0 || c.Processes[0].PID != first.PID {
		// What its mounts mean is told by the process whose they are.
		return openings.Container{Pod: c.Pod, Name: c.Name, ID: c.ID, Unread: c.Unread}
	}
	return c
}

// outside tells whether a process is in a mount namespace of the node, or in one that could not be read.
func outside(p *isolation.Process, look *isolation.Look) bool {
	ns := p.Namespaces[isolation.Mount]
	return ns.Reason != "" || isNodes(&look.Node[isolation.Mount], ns.ID)
}

// mountsOf reads the mounts of a container's first process. remote tells whether one is of a file system
// on another machine: following a link to it can wait for that machine, for ever if it is silent.
func (l *Looker) mountsOf(first *isolation.Process, c *openings.Container, node *openings.Node) (remote bool, err error) {
	p, err := l.again(first)
	if err != nil {
		return false, err
	}
	defer func() { _ = p.Close() }() // nothing was written
	err = p.Mounts(func(m procns.Mount) bool {
		c.MountIDs = append(c.MountIDs, m.ID)
		remote = remote || isRemote(m.FSType)
		if mount := mountOf(&m); node.Has(mount.Device) || openings.Points(mount.Point) {
			c.Mounts = append(c.Mounts, mount)
		}
		return len(c.MountIDs) < maxMountIDs && len(c.Mounts) < maxMounts
	})
	if err == nil && (len(c.MountIDs) == maxMountIDs || len(c.Mounts) == maxMounts) {
		err = fmt.Errorf("there are too many: more than %d, or than %d of file systems of the node", maxMountIDs, maxMounts)
	}
	if err == nil && !remote {
		var root procns.Place
		if root, err = p.Root(); err == nil && root.Path != "/" {
			c.Chroot = root.Path
			for i := range c.Mounts {
				c.Mounts[i].Point = path.Join(c.Chroot, c.Mounts[i].Point)
			}
		}
	}
	return remote, err
}

// userIDs are the node's user IDs that a process's user namespace has. None if they cannot be read: then
// its level on that axis is Unknown, and told.
func (l *Looker) userIDs(first *isolation.Process) []openings.Range {
	p, err := l.again(first)
	if err != nil {
		return nil
	}
	defer func() { _ = p.Close() }() // nothing was written
	ids, err := p.UIDMap()
	if err != nil {
		return nil
	}
	ranges := make([]openings.Range, len(ids))
	for i, r := range ids {
		ranges[i] = openings.Range{First: r.Outside, Count: r.Count}
	}
	return ranges
}

// isRemote tells whether files of that type are on another machine.
func isRemote(fsType string) bool {
	for _, prefix := range []string{"nfs", "9p", "ceph", "cifs", "smb", "afs", "ocfs2", "gfs2", "lustre"} {
		if strings.HasPrefix(fsType, prefix) {
			return true
		}
	}
	return false
}

// again opens a process that was seen before; [procns.ErrGone] if another one has its number.
func (l *Looker) again(seen *isolation.Process) (procns.Process, error) {
	p, err := l.fs.Process(seen.PID)
	if err != nil {
		return p, err
	}
	stat, err := p.Stat()
	if err == nil && stat.StartTime != seen.StartTime {
		err = procns.ErrGone
	}
	if err == nil && seen.TID != 0 {
		// Its first thread has ended and shows nothing any more.
		var thread procns.Process
		if thread, err = p.Thread(seen.TID); err == nil {
			_ = p.Close() // nothing was written
			return thread, nil
		}
	}
	if err != nil {
		_ = p.Close() // nothing was written
		return procns.Process{}, err
	}
	return p, nil
}

// closely reads privileges and handles of a process.
func (l *Looker) closely(seen *isolation.Process, places bool) (openings.Process, error) {
	read := openings.Process{PID: seen.PID, StartTime: seen.StartTime, Command: seen.Command}
	p, err := l.again(seen)
	if err != nil {
		return read, err
	}
	defer func() { _ = p.Close() }() // nothing was written
	status, err := p.Status()
	if err != nil {
		return read, err
	}
	read.Capabilities = openings.Capabilities(status.CapInh | status.CapPrm | status.CapEff | status.CapBnd | status.CapAmb)
	read.NoNewPrivileges, read.Filtered = status.NoNewPrivs, status.Seccomp != 0
	if places {
		for _, of := range []struct {
			what string
			read func() (procns.Place, error)
		}{{"cwd", p.Cwd}, {"root", p.Root}} {
			place, err := of.read()
			if err != nil {
				return read, err
			}
			read.Handles = append(read.Handles, openings.Handle{What: of.what, MountID: place.MountID, Path: place.Path, Directory: true})
		}
	}
	// One of each mount is enough, a directory if there is one.
	known := make(map[int]int)
	more, err := p.OpenFiles(maxOpenFiles, func(f procns.OpenFile) {
		h := openings.Handle{What: "fd/" + strconv.Itoa(f.FD), MountID: f.MountID, Directory: f.Directory() || f.PathOnly()}
		at, seen := known[f.MountID]
		switch {
		case !seen:
			known[f.MountID] = len(read.Handles)
			read.Handles = append(read.Handles, h)
		case h.Directory && !read.Handles[at].Directory, read.Handles[at].What == "fd/0" || read.Handles[at].What == "fd/1" || read.Handles[at].What == "fd/2":
			read.Handles[at] = h
		}
	})
	if err == nil && more {
		err = fmt.Errorf("it has more than %d open files", maxOpenFiles)
	}
	return read, err
}
