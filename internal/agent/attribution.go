// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Runtime says who made a container's cgroup, as far as its path tells; empty if it does not.
type Runtime string

// The runtimes that cgroup paths tell apart.
const (
	Containerd Runtime = "containerd"
	CRIO       Runtime = "cri-o"
	Docker     Runtime = "docker"
	Podman     Runtime = "podman"
	LXC        Runtime = "lxc"
	Nspawn     Runtime = "systemd-nspawn"
)

// Attribution is whose a process is, as its cgroups tell.
type Attribution struct {
	// PodUID as the API writes it, or the 32 hexadecimal digits of a static pod, which the API
	// knows by another UID; of a podman pod its ID. Empty for a process in no pod.
	PodUID string
	// Kubernetes is set if the pod is a kubelet's.
	Kubernetes bool
	// Container is the runtime's ID, or the name of an LXC container or machine. Empty for a
	// process in no container: in a pod, it is a helper of the runtime or something that moved.
	Container string
	// Runtime that made the container's cgroup.
	Runtime Runtime
	// Disagreement says that v1 hierarchies name different pods; empty if they do not. It holds
	// text of cgroup paths, to be sanitised.
	Disagreement string
}

// Static tells whether the pod is a kubelet's own, from a manifest on the node.
func (a *Attribution) Static() bool {
	return a.Kubernetes && len(a.PodUID) == 32 && isHex(a.PodUID)
}

// nobody tells whether the cgroups name neither pod nor container.
func (a *Attribution) nobody() bool { return a.PodUID == "" && a.Container == "" }

// attributor attributes processes to pods and containers, for a reader with a given view.
type attributor struct {
	// private are the hierarchies that the reader sees from a cgroup namespace of its own: paths
	// are relative to its own cgroup, and common ancestors are missing.
	private map[int]bool
	// self is the reader's own container. In a private hierarchy its path is "/", and its pod's
	// other containers are "/../<ID>".
	self Attribution
}

// newAttributor learns the reader's view from the cgroups of the node's first process: if these
// are outside of what the reader sees, its view is private.
func newAttributor(init procns.Cgroups, self Attribution) *attributor {
	a := &attributor{self: self}
	for i := range init {
		if strings.HasPrefix(init[i].Path, "/..") {
			if a.private == nil {
				a.private = make(map[int]bool)
			}
			a.private[init[i].HierarchyID] = true
		}
	}
	return a
}

// of attributes a process by its cgroups. Of several hierarchies the first counts that names a
// Kubernetes pod, in the order of preference; else the first that names any container. All are
// asked: a process can move itself in some and forget the others.
func (a *attributor) of(cgroups procns.Cgroups) Attribution {
	var best Attribution
	rank, from := len(preference)+2, ""
	for i := range cgroups {
		entry := &cgroups[i]
		at := a.ofEntry(entry)
		if at.nobody() {
			continue
		}
		if best.Kubernetes && at.Kubernetes && best.PodUID != at.PodUID && best.Disagreement == "" {
			best.Disagreement = from + " names pod " + best.PodUID + ", " + hierarchyName(entry) + " pod " + at.PodUID
		}
		r := preferenceOf(entry)
		if best.nobody() || at.Kubernetes && !best.Kubernetes || at.Kubernetes == best.Kubernetes && r < rank {
			at.Disagreement = best.Disagreement
			best, rank, from = at, r, hierarchyName(entry)
		}
	}
	return best
}

// ofEntry attributes by one hierarchy.
func (a *attributor) ofEntry(entry *procns.CgroupEntry) Attribution {
	private := a.private[entry.HierarchyID]
	if entry.Path == "/" && !private {
		return Attribution{}
	}
	at, ancestors := parsePath(entry.Path)
	if !private || at.PodUID != "" || a.self.PodUID == "" {
		return at
	}
	switch {
	case ancestors == 0:
		return a.self
	case at.Container != "" && ownPodsLeaf(entry.Path, ancestors):
		at.PodUID, at.Kubernetes = a.self.PodUID, a.self.Kubernetes
	}
	return at
}

// ownPodsLeaf tells whether a relative path leads straight to a container: then the ancestor that
// it has in common with the reader is the reader's own pod.
func ownPodsLeaf(path string, ancestors int) bool {
	segment, _, _ := strings.Cut(path[ancestors*len("/..")+1:], "/")
	_, _, ok := containerSegment(segment)
	return ok
}

// preference orders v1 hierarchies; the unified hierarchy comes first, all others last.
var preference = [...]string{"name=systemd", "pids", "memory"}

func preferenceOf(entry *procns.CgroupEntry) int {
	if entry.HierarchyID == 0 {
		return 0
	}
	for i, name := range preference {
		if entry.Has(name) {
			return i + 1
		}
	}
	return len(preference) + 1
}

func hierarchyName(entry *procns.CgroupEntry) string {
	if entry.HierarchyID == 0 {
		return "the unified hierarchy"
	}
	return entry.Controllers
}

// inRoot tells whether the process is in the root of every hierarchy, of which at least one is of
// v1. That is where the kernel shows a process whose first thread has ended, wherever the others are.
func inRoot(cgroups procns.Cgroups) bool {
	v1 := false
	for i := range cgroups {
		path := cgroups[i].Path
		for strings.HasPrefix(path, "/..") {
			path = path[3:]
		}
		if path != "" && path != "/" {
			return false
		}
		v1 = v1 || cgroups[i].HierarchyID != 0
	}
	return v1
}
