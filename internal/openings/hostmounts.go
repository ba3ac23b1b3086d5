// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"path"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Parts of the node's file systems that are mounted in a container, against the volumes of its spec.

Passes: what a volume of the spec explains, by its path or by where it is mounted (a symbolic link on
the node or in the image changes one of them); the pod's folder of the kubelet, and what the runtime
keeps for the pod's containers, which hold all other volumes; the devices that every container has; what
a device plugin brings, unless it is a part of the node that no plugin needs.

	mountinfo: major:minor, root, mount point, options, shared:, master:
*/

// hostMounts are the parts of the node that the container has and its spec does not ask for.
func (c *Container) hostMounts(n *Node, pods map[string]isolation.PodRef) []opening {
	var out []opening
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if !n.Has(m.Device) || perNamespace(m, c.Grant) {
			continue
		}
		paths := n.paths(m)
		if m.Point == "/" {
			// The image's file system. Runtimes keep images where they like, but not there.
			if slices.Contains(paths, "/") {
				out = append(out, c.ofMount("hostPaths", m, "the container's root is the node's"))
			}
			continue
		}
		kept := slices.ContainsFunc(paths, func(p string) bool { return c.keeps(p, pods) })
		granted := c.explains(n, m.Point, &shows{paths, kept, guarded(paths) || !kept && c.anothers(paths, pods)})
		switch {
		case granted != nil:
			out = append(out, c.asGranted(n, m, granted)...)
		case kept:
			out = append(out, c.travels(n, m, true)...)
		case everybodys(m), isEmptyFolder(m) && m.ReadOnly && (isolation.Within(m.Point, "/proc") || isolation.Within(m.Point, "/sys")), c.Grant.Privileged && slices.ContainsFunc(paths, isDevice),
			c.Grant.HostIPC && m.Point == "/dev/shm" && slices.Contains(paths, "/dev/shm"),
			c.Grant.Plugins && !slices.ContainsFunc(paths, private):
		default:
			out = append(out, c.ungranted(m, paths))
		}
	}
	return out
}

// perNamespace tells whether a mount is of a file system of which every namespace has its own view, so
// that the same number says nothing: sysfs belongs to network namespaces, mqueue to ipc namespaces, and
// a control group's mount shows what its root says. A /proc belongs to a pid namespace.
func perNamespace(m *Mount, g *Grant) bool {
	switch m.FSType {
	case "sysfs", "cgroup", "cgroup2", "mqueue":
		return true
	case "proc":
		return g.HostPID && isolation.Within(m.Point, "/proc")
	}
	return false
}

// shows is what a mount shows of the node.
type shows struct {
	// paths are where the node has it.
	paths []string
	// kept is set if that is the pod's own, see [Container.keeps].
	kept bool
	// guarded is set if only a volume that is known to show it accounts for it: the node's root, the runtime's
	// sockets, and what is another pod's alone.
	guarded bool
}

// explains finds the volume that accounts for a mount; nil if none does: the one that is mounted there, or
// nearest above, or else one of its path. What the kubelet makes for the pod is in the pod's folder (kept),
// and accounts for nothing else that is there. A volume that names no path accounts for what it shows of the
// node and what the node mounts below that, and never for what is guarded: anything
// else that is at or below its mount point came there by other means. One that names a path accounts for what is
// at its mount point, for a link can change the path, and below that for what is guarded only if it shows that:
// what else is there may be what the node had mounted below the path when the container started, and has no more.
// No volume is the container's root.
func (c *Container) explains(n *Node, point string, of *shows) *GrantedMount {
	paths, kept := of.paths, of.kept
	var byPoint, byPath *GrantedMount
	for i := range c.Grant.Mounts {
		m := &c.Grant.Mounts[i]
		if m.Point != "/" && isolation.Within(point, m.Point) && (byPoint == nil || len(m.Point) > len(byPoint.Point)) {
			byPoint = m
		}
		if m.HostPath != "" && slices.ContainsFunc(paths, func(p string) bool { return isolation.Within(p, m.HostPath) }) {
			if byPath == nil || m.Propagation {
				byPath = m
			}
		}
	}
	switch {
	case byPoint == nil, byPoint.Own && !kept && len(paths) > 0:
		return byPath
	case kept, byPoint.HostPath != "" && (!of.guarded || point == byPoint.Point || c.partOf(n, byPoint, paths)):
		return byPoint
	case of.guarded:
		return byPath
	case len(paths) == 0 && point == byPoint.Point, c.partOf(n, byPoint, paths):
		return byPoint
	default:
		return byPath
	}
}

// guarded tells whether one of the paths is the node's root or reaches the runtime's sockets.
func guarded(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return p == "/" || isolation.ReachesRuntimeSockets(p) })
}

// anothers tells whether all of the paths are in folders of other pods that are known to be on the node.
func (c *Container) anothers(paths []string, pods map[string]isolation.PodRef) bool {
	for _, p := range paths {
		_, in, ok := strings.Cut(p, "/pods/")
		uid, _, _ := strings.Cut(in, "/")
		known := false
		for _, pod := range pods {
			if known = ok && uid != "" && pod.UID == uid && !c.of(pod); known {
				break
			}
		}
		if !known {
			return false
		}
	}
	return len(paths) > 0
}

// partOf tells whether what a mount shows is a part of a volume: it is in a folder of the node that the
// volume shows. The volume is the lowest mount at its point, for a later one covers it; its file system need not be
// one that the node mounts, and then nothing of the node's is a part of it.
func (c *Container) partOf(n *Node, g *GrantedMount, paths []string) bool {
	at := make(map[int]*Mount)
	for i := range c.Mounts {
		if c.Mounts[i].Point == g.Point {
			at[c.Mounts[i].ID] = &c.Mounts[i]
		}
	}
	for _, m := range at {
		if at[m.Parent] != nil {
			continue
		}
		for _, place := range n.paths(m) {
			if slices.ContainsFunc(paths, func(p string) bool { return isolation.Within(p, place) }) {
				return true
			}
		}
	}
	return false
}

// asGranted are the ways in which a mount is more than its volume.
func (c *Container) asGranted(n *Node, m *Mount, g *GrantedMount) []opening {
	var out []opening
	// What is mounted below a volume stays writable, unless the spec says recursiveReadOnly.
	if g.ReadOnly && !m.ReadOnly && m.Point == g.Point {
		out = append(out, c.ofMount("hostPaths", m, "the volume at "+shown(m.Point)+" is writable, and the spec says readOnly"))
	}
	return append(out, c.travels(n, m, !g.Propagation)...)
}

// travels tells of a mount that shares a peer group with the node: what is mounted on one side comes to the
// other (mount_namespaces(7)).
func (c *Container) travels(n *Node, m *Mount, forbidden bool) []opening {
	switch {
	case forbidden && m.Shared != 0 && n.groups[m.Shared]:
		return []opening{c.ofMount("mountPropagation", m, "what is mounted below "+shown(m.Point)+" appears on the node, and the spec does not ask for mount propagation")}
	case forbidden && m.Master != 0 && n.groups[m.Master]:
		return []opening{c.ofMount("mountPropagation", m, "what the node mounts appears below "+shown(m.Point)+", and the spec does not ask for mount propagation")}
	}
	return nil
}

// keeps tells whether a folder of the node is the kubelet's or the runtime's for this pod. The kubelet has
// one for each pod, below pods/UID wherever its root is; runtimes have one for each container and
// sandbox, by its ID.
func (c *Container) keeps(p string, pods map[string]isolation.PodRef) bool {
	elements := strings.Split(p, "/")
	for i, e := range elements {
		if i == 0 {
			continue
		}
		before := elements[i-1]
		if before == "pods" && e != "" && (e == c.Pod.UID || e == c.Directory) {
			return true
		}
		if !isID(e) {
			continue
		}
		if pod, known := pods[e]; known {
			return e == c.ID || c.of(pod)
		}
		// A sandbox may have no process, and then its ID is not known.
		if before == "sandboxes" || before == "overlay-containers" {
			return true
		}
	}
	return false
}

// isID tells whether it looks like a container's ID: 64 hexadecimal digits.
func isID(e string) bool {
	return len(e) == 64 && strings.Trim(e, "0123456789abcdef") == ""
}

// everybodys tells whether a mount is one of the devices that every container has (OCI runtime
// specification, config-linux.md, default devices). In a user namespace they cannot be made, and are
// mounted from the node.
func everybodys(m *Mount) bool {
	if m.FSType != "devtmpfs" {
		return false
	}
	switch m.Root {
	case "/null", "/zero", "/full", "/random", "/urandom", "/tty":
		return path.Dir(m.Point) == "/dev" || isolation.Within(m.Point, "/proc")
	}
	return false
}

func isDevice(p string) bool { return isolation.Within(p, "/dev") }

// private tells whether a path shows what no plugin needs to bring: the node's root and settings, its
// users, other pods, or who commands it.
func private(p string) bool {
	for _, place := range []string{"/etc", "/root", "/home", "/boot", "/proc", "/var/lib/kubelet"} {
		if isolation.Within(p, place) || isolation.Within(place, p) {
			return true
		}
	}
	return isolation.ReachesRuntimeSockets(p)
}

// ungranted is a mount that nothing explains.
func (c *Container) ungranted(m *Mount, paths []string) opening {
	what, portal := "a part of the node ("+shown(m.Root)+" of a file system that it mounts elsewhere)", "hostPaths"
	if len(paths) > 0 {
		what = "the node's " + shown(paths[0])
	}
	switch {
	case m.FSType == "proc":
		portal = "procMount"
	case slices.ContainsFunc(paths, isolation.ReachesRuntimeSockets):
		portal, what = "runtimeSockets", what+", where sockets that command the container runtime or the kubelet are,"
	case slices.ContainsFunc(paths, isDevice), m.FSType == "devpts":
		portal = "devices"
	}
	return c.ofMount(portal, m, what+" is mounted at "+shown(m.Point)+", and no volume of the spec accounts for it")
}
