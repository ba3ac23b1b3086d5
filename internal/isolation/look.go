// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"slices"
	"time"
)

// Look is what one look at a node's kernel showed. It speaks of one moment: inodes of namespaces
// are reused, so they are compared within one look only.
type Look struct {
	// At is the time of the look.
	At time.Time
	// Node tells the node's own namespaces on each axis.
	Node [NumAxes]NodeNamespaces
	// Containers are all containers with their processes, sandboxes included.
	Containers []ContainerLook
	// Outside are processes of the node that are in no container. They are many, and are needed
	// only where a namespace cannot be explained without them; see [ErrUnexplained]. Those in no
	// other namespaces than the node's explain nothing, and may be left out. A thread that is elsewhere
	// than its process is one of its own, with the start time of its process.
	Outside []Process
	// OutsideRead is set if Outside was read.
	OutsideRead bool
}

// NodeNamespaces are the namespaces on one axis that are the node's own.
type NodeNamespaces struct {
	// IDs is a set: the kubelet and the runtime may have a mount namespace of their own.
	IDs []NamespaceID
	// Reason says why they could not be established; then nothing on this axis can be called
	// isolated.
	Reason string
}

// NamespaceID identifies a namespace within one look.
type NamespaceID struct{ Dev, Inode uint64 }

// Namespace is what a process's link to a namespace showed: an ID, or the reason why not.
type Namespace struct {
	ID     NamespaceID
	Reason string
}

// Process is a process as the kernel shows it.
type Process struct {
	PID, PPID int
	// TID is set if another thread than the process's first was read: because that has ended, or because this
	// one is elsewhere.
	TID int
	// StartTime in clock ticks since boot. With PID it identifies the process across looks.
	StartTime uint64
	// Command is the process's comm: chosen by the process, to be sanitised before it is shown.
	Command    string
	Namespaces [NumAxes]Namespace
	// Alike is how many processes of [ContainerLook.Crowd] are exactly where this one is.
	Alike int
	// MapsNodeRoot is set if the process's user namespace maps the node's uid 0: whatever the
	// inode, root in there is root on the node.
	MapsNodeRoot bool
	// Scattered are, of a process outside of containers, the axes on which its threads are not all in one
	// namespace, or not known to be.
	Scattered [NumAxes]bool
}

// procKey identifies a process, or one thread of it, across looks.
type procKey struct {
	pid, tid int
	start    uint64
}

func (p *Process) key() procKey { return procKey{p.PID, p.TID, p.StartTime} }

// whole identifies the process by whichever of its threads it was read.
func (p *Process) whole() procKey { return procKey{pid: p.PID, start: p.StartTime} }

// Strayed tells whether this is a thread that is elsewhere than its process: its parent is the process.
func (p *Process) Strayed() bool { return p.PPID == p.PID }

// id is the namespace the process is in; zero if it was not read.
func (p *Process) id(a Axis) NamespaceID {
	if ns := &p.Namespaces[a]; ns.Reason == "" {
		return ns.ID
	}
	return NamespaceID{}
}

// ids are the namespaces the process is in.
func (p *Process) ids() (ids [NumAxes]NamespaceID) {
	for _, a := range Axes {
		ids[a] = p.id(a)
	}
	return ids
}

// PodRef names a pod.
type PodRef struct {
	// UID as the API knows it; what the cgroup says if the API does not know the pod; empty for
	// a container that is in no pod.
	UID string
	// Namespace and Name are empty if the API does not know the pod.
	Namespace, Name string
}

// String is namespace/name, or what else there is to name the pod.
func (p PodRef) String() string {
	switch {
	case p.Name != "":
		return p.Namespace + "/" + p.Name
	case p.UID != "":
		return "pod " + p.UID
	default:
		return "no pod"
	}
}

// ContainerLook is one container with its processes.
type ContainerLook struct {
	// ID as the runtime names it, without a scheme. It identifies the container.
	ID string
	// Name in the pod's spec; empty if it is not known.
	Name string
	Pod  PodRef
	// Sandbox is set for the container that holds a pod's namespaces ("pause").
	Sandbox bool
	// Claim is what the spec promises; None where it promises nothing or is not known.
	Claim Vector
	// NotApplicable is the reason why the node's kernel cannot show the container (a runtime
	// class that runs it in a virtual machine); empty if it can.
	NotApplicable string
	// Expected is set if the API says that the container runs: without processes it is Unknown.
	Expected bool
	// Stray is the reason why this is an [v1alpha1.Orphan]; empty if the API knows it.
	Stray string
	// Starting is set if the API says of the pod that containers of it are yet to run: this may be one.
	Starting bool
	// Processes in ascending order of PID. Processes that ended while they were read are left out.
	Processes []Process
	// Crowd are the numbers of further processes, in ascending order. Each is exactly where an older one of Processes is, and so
	// needs no judgement of its own.
	Crowd []int32
	// Missed is the reason why there are processes of it of which nothing is known; empty if there are none.
	Missed string
}

// Total is how many processes the container is known to have.
func (c *ContainerLook) Total() int { return len(c.Processes) + len(c.Crowd) }

// owner groups containers that may share namespaces: those of one pod, else each its own.
func (c *ContainerLook) owner() string {
	if c.Pod.UID != "" {
		return c.Pod.UID
	}
	return c.ID
}

// String names the container for a message.
func (c *ContainerLook) String() string {
	if c.Name != "" {
		return c.Pod.String() + "/" + c.Name
	}
	if c.Pod.UID != "" {
		return c.Pod.String() + "/" + Sanitize(c.ID, 64)
	}
	return "container " + Sanitize(c.ID, 64)
}

// First is the container's first process: the oldest whose parent is outside of it; nil if it
// has no process. Processes that `exec` brings in have a parent outside too, but are younger.
func (c *ContainerLook) First() *Process {
	var first, oldest *Process
	for i := range c.Processes {
		p := &c.Processes[i]
		if oldest == nil || p.StartTime < oldest.StartTime {
			oldest = p
		}
		if !c.Has(p.PPID) && (first == nil || p.StartTime < first.StartTime) {
			first = p
		}
	}
	if first == nil {
		return oldest
	}
	return first
}

// Has tells whether a pid is one of the container's processes.
func (c *ContainerLook) Has(pid int) bool {
	if _, found := slices.BinarySearch(c.Crowd, int32(pid)); found {
		return true
	}
	_, found := slices.BinarySearchFunc(c.Processes, pid, func(p Process, pid int) int { return p.PID - pid })
	return found
}
