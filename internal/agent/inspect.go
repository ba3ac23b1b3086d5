// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// What close looks may cost. Beyond it what was read counts, and the container is unverified, for what was
// not read may be what matters.
const (
	// maxMounts is how many mounts are kept; of the others only the numbers are.
	maxMounts = 2048
	// maxMountIDs is how many mounts are read.
	maxMountIDs = 30_000
	// maxInspected is how many processes of a container are read.
	maxInspected = 512
	// maxTries is by how many threads of a process it is tried, if its first has ended.
	maxTries = 8
	// maxOpenFiles is how many open files of a process are read.
	maxOpenFiles = 1024
	// forContainer is how much of a processor's time one container may take, forLook all that are due: the
	// others are due in the next look still.
	forContainer, forLook = 250 * time.Millisecond, 2 * time.Second
)

// inspect looks closely at the containers for which it is time.
func (l *Looker) inspect(look *isolation.Look) error {
	i := &openings.Inspection{At: look.At, Pods: make(map[string]isolation.PodRef, len(look.Containers)), Ended: map[string]bool{}}
	x := indexOf(l.dir)
	var due []*isolation.ContainerLook
	for j := range look.Containers {
		c := &look.Containers[j]
		i.Pods[c.ID], i.Ended[c.ID] = c.Pod, len(c.Processes) == 0
		if c.Sandbox || len(c.Processes) == 0 || c.NotApplicable != "" || c.First().Namespaces[isolation.Mount].Reason != "" {
			continue // whose namespaces could not be read is told already
		}
		listed, known := x.containers[c.ID]
		if l.inspector.Due(c.ID, known && listed.container.Grant != nil, look.At) {
			due = append(due, c)
		}
	}
	var err error
	if len(due) > 0 {
		if i.Node, err = l.nodeMounts(); err == nil {
			end := spent() + forLook
			for _, c := range due {
				if spent() > end {
					break
				}
				i.Containers = append(i.Containers, l.container(c, i.Node, x, look))
			}
		}
	}
	l.inspector.Inspect(i)
	return err
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

// container looks closely at one container: its mounts by its first process, then at each process.
func (l *Looker) container(look *isolation.ContainerLook, node *openings.Node, x *index, all *isolation.Look) openings.Container {
	end := spent() + forContainer
	c := openings.Container{Pod: look.Pod, Name: look.Name, ID: look.ID, Directory: l.directories[look.ID]}
	if listed, ok := x.containers[look.ID]; ok {
		c.Grant = listed.container.Grant
	}
	first := look.First()
	var follow bool
	err := l.patiently(first, func(p procns.Process) (err error) {
		c.MountIDs, c.Mounts, c.Chroot = nil, nil, ""
		follow, err = mountsOf(p, &c, node)
		return err
	})
	switch {
	case hasEnded(err):
		return c // there is nothing to say of it, and others of it are looked at next time
	case err != nil:
		c.Unread = "its mounts could not be read: " + err.Error()
	}
	if user := first.Namespaces[isolation.User]; user.Reason == "" && !isNodes(&all.Node[isolation.User], user.ID) {
		c.UserIDs = l.userIDs(first)
	}
	read := func(p *isolation.Process) (known bool) {
		var seen openings.Process
		err := l.patiently(p, func(open procns.Process) error {
			seen = openings.Process{
				PID: p.PID, StartTime: p.StartTime, Command: p.Command, Child: look.Has(p.PPID),
				Outside: outside(p, all), Nested: nested(p, first, all),
			}
			if open.PID != p.PID {
				seen.TID = open.PID
			}
			// What is in a mount namespace that the container made for itself is not followed: whoever made
			// it can mount what answers never.
			return l.closely(open, &seen, follow && p.Namespaces[isolation.Mount] == first.Namespaces[isolation.Mount], end)
		})
		if hasEnded(err) {
			return false
		}
		if err != nil {
			c.Unread = fmt.Sprintf("process %d of it could not be looked at closely: %v", p.PID, err)
		}
		c.Processes = append(c.Processes, seen)
		return true
	}
	if !read(first) || len(c.Processes) == 0 {
		return c
	}
	for i := range look.Processes {
		p := &look.Processes[i]
		if p == first {
			continue
		}
		if len(c.Processes) == maxInspected || spent() > end {
			c.Unread = fmt.Sprintf("%d of its %d processes were looked at closely: that is the most, or the others would take too long", len(c.Processes), look.Total())
			break
		}
		read(p)
	}
	return c
}

// outside tells whether a process is in a mount namespace of the node, or in one that could not be read.
func outside(p *isolation.Process, look *isolation.Look) bool {
	ns := p.Namespaces[isolation.Mount]
	return ns.Reason != "" || isNodes(&look.Node[isolation.Mount], ns.ID)
}

// nested tells whether a process is in a user namespace below that of the container.
func nested(p, first *isolation.Process, look *isolation.Look) bool {
	ns := p.Namespaces[isolation.User]
	return ns.Reason == "" && ns != first.Namespaces[isolation.User] && !isNodes(&look.Node[isolation.User], ns.ID) && !p.MapsNodeRoot
}

// mountsOf reads the mounts of a container by its first process. follow tells whether links to what is on them
// can be followed: on a file system of another machine that can wait for that machine, for ever if it is
// silent.
func mountsOf(p procns.Process, c *openings.Container, node *openings.Node) (follow bool, err error) {
	follow = true
	tooMany, volumes := false, c.Grant.Points()
	err = p.Mounts(func(m procns.Mount) bool {
		if len(c.MountIDs) == maxMountIDs {
			tooMany = true
			return false
		}
		c.MountIDs = append(c.MountIDs, m.ID)
		follow = follow && !isRemote(m.FSType)
		mount := mountOf(&m)
		switch {
		case !node.Has(mount.Device) && !openings.Concerns(&mount) && !volumes[mount.Point]:
		case len(c.Mounts) == maxMounts:
			tooMany = true // the numbers of the others tell what of another container's leads here
		default:
			c.Mounts = append(c.Mounts, mount)
		}
		return true
	})
	if err == nil && tooMany {
		err = fmt.Errorf("there are too many: more than %d, or than %d of file systems of the node", maxMountIDs, maxMounts)
	}
	if err != nil || !follow {
		return false, err
	}
	root, err := p.Root()
	if err != nil || root.Path == "/" {
		return err == nil, err
	}
	c.Chroot = root.Path
	for i := range c.Mounts {
		c.Mounts[i].Point = path.Join(c.Chroot, c.Mounts[i].Point)
	}
	return false, nil // what is mounted outside of the chroot is not known
}

// userIDs are the node's user IDs that a process's user namespace has. None if they cannot be read: then
// its level on that axis is Unknown, and told.
func (l *Looker) userIDs(first *isolation.Process) (ranges []openings.Range) {
	_ = l.patiently(first, func(p procns.Process) error {
		ids, err := p.UIDMap()
		for _, r := range ids {
			ranges = append(ranges, openings.Range{First: r.Outside, Count: r.Count})
		}
		return err
	})
	return ranges
}

// isRemote tells whether files of that type are on another machine, or served by a process.
func isRemote(fsType string) bool {
	for _, prefix := range []string{"nfs", "9p", "ceph", "cifs", "smb", "afs", "ocfs2", "gfs2", "lustre"} {
		if strings.HasPrefix(fsType, prefix) {
			return true
		}
	}
	return false
}

// hasEnded tells whether a process or thread could not be read because it has ended.
func hasEnded(err error) bool {
	return errors.Is(err, procns.ErrGone) || errors.Is(err, procns.ErrExited)
}

// patiently opens a process that was seen before and reads it, by a thread that goes on if its first has ended:
// a process that goes on was not read because one of its threads was. The errors are [procns.ErrGone] if it has
// ended, or another one has its number, and what reading it gave.
func (l *Looker) patiently(seen *isolation.Process, read func(procns.Process) error) error {
	p, err := l.fs.Process(seen.PID)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // nothing was written
	if seen.Strayed() {
		return stray(p, seen, read)
	}
	stat, err := p.Stat()
	if err != nil {
		return err
	}
	if stat.StartTime != seen.StartTime {
		return procns.ErrGone
	}
	if !stat.Exited() {
		if err := read(p); !hasEnded(err) {
			return err
		}
	}
	// Its first thread has ended and shows nothing any more.
	elsewhere, tries := false, 0
	ended := survivors(p, func(t procns.Process) survivor {
		ns, failed := t.Namespace(procns.Mnt)
		if failed == nil && (isolation.NamespaceID{Dev: ns.Dev, Inode: ns.Ino}) != seen.Namespaces[isolation.Mount].ID {
			elsewhere = true // and is looked at by itself
			return unwanted
		}
		if tries++; tries > maxTries {
			err = errRestless
			return taken
		}
		if err = failed; err == nil {
			err = read(t)
		}
		if hasEnded(err) {
			return lost
		}
		return taken
	})
	if hasEnded(ended) && elsewhere {
		return errRestless
	}
	return cmp.Or(ended, err)
}

// stray reads a thread that was elsewhere than its process.
func stray(p procns.Process, seen *isolation.Process, read func(procns.Process) error) error {
	t, err := p.Thread(seen.TID)
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }() // nothing was written
	stat, err := t.Stat()
	if err != nil {
		return err
	}
	if stat.StartTime != seen.StartTime {
		return procns.ErrGone
	}
	return read(t)
}

// closely reads privileges and handles of a process; what was read before an error counts.
func (l *Looker) closely(p procns.Process, read *openings.Process, follow bool, end time.Duration) error {
	status, err := p.Status()
	if err != nil {
		return err
	}
	read.Capabilities = openings.Capabilities(status.CapInh | status.CapPrm | status.CapEff | status.CapBnd | status.CapAmb)
	read.NoNewPrivileges, read.Filtered = status.NoNewPrivs, status.Seccomp != 0
	if !follow {
		return nil
	}
	for _, of := range []struct {
		what string
		read func() (procns.Place, error)
	}{{"cwd", p.Cwd}, {"root", p.Root}} {
		place, err := of.read()
		if err != nil {
			return err
		}
		read.Handles = append(read.Handles, openings.Handle{What: of.what, MountID: place.MountID, Path: place.Path, Directory: true})
	}
	if status.Uid != [4]uint32{} {
		return nil // the files of another user cannot be followed without a further capability
	}
	return l.openFiles(p, read, end)
}

// openFiles follows what a process has open: one of each mount is kept, a directory if there is one. What the
// kernel says of open files is not read: whoever opens one chooses how long that is (epoll(7)).
func (l *Looker) openFiles(p procns.Process, read *openings.Process, end time.Duration) error {
	numbers, more, err := p.FDs(maxOpenFiles)
	if err != nil {
		return err
	}
	kept := make(map[int]int)
	for _, fd := range numbers {
		place, err := p.FilePlace(fd)
		switch {
		case errors.Is(err, procns.ErrNotOpen):
			continue
		case err != nil:
			return err
		}
		h := openings.Handle{What: "fd/" + strconv.Itoa(fd), MountID: place.MountID, Path: place.Path, Directory: place.Directory}
		at, seen := kept[h.MountID]
		switch {
		case !seen:
			kept[h.MountID] = len(read.Handles)
			read.Handles = append(read.Handles, h)
		case !read.Handles[at].Directory && (h.Directory || openings.Standard(read.Handles[at].What)):
			read.Handles[at] = h
		}
		if spent() > end {
			return errors.New("its open files take too long")
		}
	}
	if more {
		return fmt.Errorf("it has more than %d open files", maxOpenFiles)
	}
	return nil
}
