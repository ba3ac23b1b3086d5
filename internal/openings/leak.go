// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"strconv"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Handles that lead out of a container: a working directory, a root or something open that is on a mount
of the node or of another pod. Who has one walks on from there, whatever namespaces it is in
(CVE-2024-21626).

The number of a mount is one of the whole machine's, and a mount is in one mount namespace. Pipes and
sockets are on mounts of nobody. What a process has open that left the container's mount namespace
is that escape, and not another finding.

Not every open file of the node is a leak: runtimes hand down standard input and output, and terminals. Of
these only directories count. And a container is created before it is started: until then its first process
is the runtime's, and waits, as runc's does at a fifo that it has open (standard_init_linux.go there).

	cwd, root, fdinfo: flags, mnt_id
*/

// leaks are the handles of a container's processes that lead to the node or into another pod.
func (n *Node) leaks(c *Container, owners map[int]isolation.PodRef) []opening {
	own := make(map[int]bool, len(c.MountIDs))
	for _, id := range c.MountIDs {
		own[id] = true
	}
	var out []opening
	for j := range c.Processes {
		p := &c.Processes[j]
		if p.Outside {
			continue
		}
		for _, h := range p.Handles {
			if own[h.MountID] {
				continue // also if others are in the same mount namespace
			}
			where := "the node"
			fsType, nodes := n.types[h.MountID]
			if !h.Directory && (Standard(h.What) || fsType == "devtmpfs" || fsType == "devpts") {
				continue
			}
			if !nodes {
				pod, known := owners[h.MountID]
				if !known || c.of(pod) {
					continue
				}
				if where = pod.String(); pod.UID == "" {
					where = "another container"
				}
			}
			text := h.What + " of process " + strconv.Itoa(p.PID) + ` ("` + shown(p.Command) + `") is on a mount of ` + where
			if h.Path != "" {
				text += ": " + shown(h.Path)
			}
			out = append(out, opening{
				// Another number for the same is the same.
				kind: v1alpha1.Leak, place: strconv.Itoa(h.MountID), text: text, by: p, anybody: p.Child, slow: nodes && j == 0 && !h.Directory,
				check: checkOf(p, h.What),
			})
		}
	}
	return out
}

// Standard tells whether it is one of the open files that whoever starts a container chooses.
func Standard(what string) bool { return what == "fd/0" || what == "fd/1" || what == "fd/2" }

func checkOf(p *Process, what string) string {
	if what == "cwd" || what == "root" {
		return "readlink " + p.file(what)
	}
	return "grep mnt_id " + p.file("fdinfo/"+what[len("fd/"):])
}
