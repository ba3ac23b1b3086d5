// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"strconv"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Inspection is what one close look at some containers of a node showed.
type Inspection struct {
	At   time.Time
	Node *Node
	// Pods tells of all containers on the node, by their IDs, whose they are, sandboxes included.
	Pods map[string]isolation.PodRef
	// Ended are those that have no process any more.
	Ended map[string]bool
	// Containers are those that were looked at.
	Containers []Container
}

// Container is what was read of one container.
type Container struct {
	Pod isolation.PodRef
	// Name in the spec and ID as the runtime names it.
	Name, ID string
	// Directory is the UID by which the kubelet and the cgroups name the pod, that of a static pod
	// is not the API's; empty if it is not known.
	Directory string
	// Grant is what the spec asks for; nil if it is not known, and then nothing can be too much.
	Grant *Grant
	// Unread is the reason why not all was read; empty if all was.
	Unread string
	// Chroot is the root of the first process, if that is not the root of its mount namespace: then
	// mounts outside of it are not seen. Empty if it is.
	Chroot string
	// Mounts are those of the first process whose file system the node mounts as well, that [Concerns] tells
	// of, or that are at one of [Grant.Points], by their points in the mount namespace; MountIDs are all of them.
	Mounts   []Mount
	MountIDs []int
	// UserIDs are the user IDs of the node that the container's user namespace has, if that is not the
	// node's.
	UserIDs []Range
	// Processes, the first process first.
	Processes []Process
}

// Process is what was read of a process.
type Process struct {
	PID int
	// TID is the thread that was read, if that is not the process's first.
	TID       int
	StartTime uint64
	// Command is the process's comm: chosen by the process, to be sanitised before it is shown.
	Command string
	// Capabilities is the union of all of its sets, the bounding set included.
	Capabilities Capabilities
	// Nested is set if it is in a user namespace that the container made: its capabilities hold there only.
	Nested bool
	// Child is set if its parent is one of the container's processes: no runtime brought it in.
	Child bool
	// NoNewPrivileges and Filtered are as in /proc/PID/status.
	NoNewPrivileges, Filtered bool
	// Outside is set if it is in a mount namespace of the node, or in one that could not be read: then
	// what it has open is elsewhere with it, which is another finding.
	Outside bool
	// Handles are its working directory, its root and what it has open, one for each mount.
	Handles []Handle
}

// file is the path of what the kernel shows of the process.
func (p *Process) file(name string) string {
	dir := "/proc/" + strconv.Itoa(p.PID)
	if p.TID != 0 {
		dir += "/task/" + strconv.Itoa(p.TID)
	}
	return dir + "/" + name
}

// Handle is a place that a process has open.
type Handle struct {
	// What it is: "cwd", "root", or "fd/7".
	What string
	// MountID is the mount that it is on, as in mountinfo.
	MountID int
	// Path is the text of the link, if it could be read.
	Path string
	// Directory is set if it is a directory.
	Directory bool
}

// Range is so many numbers from the first on.
type Range struct{ First, Count uint32 }

// meets tells whether two ranges have a number in common.
func (r Range) meets(other Range) bool {
	return uint64(r.First) < uint64(other.First)+uint64(other.Count) && uint64(other.First) < uint64(r.First)+uint64(r.Count)
}

// Concerns tells whether a mount is read even if the node does not have its file system: it can cover a
// part of /proc or /sys, or is one.
func Concerns(m *Mount) bool {
	return m.Point == "/" || m.FSType == "proc" || settings[m.FSType] || isolation.Within(m.Point, "/proc") || isolation.Within(m.Point, "/sys")
}

// of tells whether a container is of the pod.
func (c *Container) of(pod isolation.PodRef) bool { return c.Pod.UID != "" && c.Pod.UID == pod.UID }
