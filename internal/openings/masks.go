// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"path"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
The masks of /proc and /sys, which a runtime mounts over what would let a container read the node's
memory or keys, or set the kernel. runc's CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 are cases in
which they were elsewhere, CVE-2019-16884 one in which /proc was something else.

A mask counts if it lies on the /proc that is seen: a second /proc mounted over the first has none. A volume that is
mounted at /proc, or in it, asks for no less: runtimes mask what is there after they have mounted all volumes (runc,
libcontainer/standard_init_linux.go; crun, src/libcrun/linux.c).

	mountinfo: mount point, parent, type, root, options
*/

// hidden are entries of /proc that are covered by the null device or by an empty folder, readOnly those
// that may be read and not written. All runtimes do so since 2018 (Moby, oci/defaults.go; containerd,
// pkg/oci/spec.go); what only some hide is not missed.
var (
	hidden   = []string{"kcore", "keys", "timer_list", "sched_debug", "latency_stats", "timer_stats", "acpi", "scsi"}
	readOnly = []string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
)

// ProcEntries are the entries of /proc that runtimes cover. A kernel need not have all of them, and what is
// not there has no mask.
func ProcEntries() []string { return append(append([]string(nil), hidden...), readOnly...) }

// masks are the parts of /proc and /sys that are open though the spec does not ask for that.
func (c *Container) masks(n *Node, t *table) []opening {
	var out []opening
	if !c.Grant.Unmasked {
		out = append(out, c.procMasks(n, t)...)
	}
	if c.Grant.Privileged {
		return out
	}
	for i := range c.Mounts {
		m := &c.Mounts[i]
		// A part of /proc that is bound, be it on itself to be read only, or elsewhere.
		part := m.FSType == "proc" && m.Root != "/" && !c.Grant.Unmasked && !slices.Contains(readOnly, strings.TrimPrefix(m.Point, "/proc/"))
		if (!part && !settings[m.FSType]) || m.ReadOnly || t.tops[m.Point] != m || c.asksToSet(n, m) {
			continue
		}
		out = append(out, c.ofMount("procMount", m, shown(m.Point)+" ("+shown(m.FSType)+") is writable, and the spec does not ask for that"))
	}
	return out
}

// asksToSet tells whether a volume accounts for a file system in which the kernel is set. What the kubelet makes for a pod
// is none. A part of /proc is the node's only if the volume says so by its path, and so is, in /proc and /sys, what
// runtimes mount there to be read only. A driver can bring others: there is one for BPF's.
func (c *Container) asksToSet(n *Node, m *Mount) bool {
	g := c.explains(n, m.Point, &shows{})
	inProc, inSys := isolation.Within(m.Point, "/proc"), isolation.Within(m.Point, "/sys")
	switch {
	case g == nil || g.Own:
		return false
	case m.FSType == "proc" && inProc:
		return g.HostPath != "" && isolation.Within(path.Join("/proc", m.Root), g.HostPath)
	case m.FSType == "proc", (inProc || inSys) && slices.Contains([]string{"sysfs", "cgroup", "cgroup2"}, m.FSType):
		return g.HostPath != ""
	}
	return true
}

// settings are the types of the file systems in which the kernel, or its control groups, are set.
var settings = map[string]bool{
	"sysfs": true, "cgroup": true, "cgroup2": true, "debugfs": true, "tracefs": true, "securityfs": true, "configfs": true,
	"binfmt_misc": true, "efivarfs": true, "bpf": true,
}

func (c *Container) procMasks(n *Node, t *table) []opening {
	proc := t.tops["/proc"]
	if proc == nil {
		return []opening{c.ofProc("nothing is mounted at /proc")}
	}
	if proc.FSType != "proc" || proc.Root != "/" {
		return []opening{c.ofMount("procMount", proc, "/proc is no procfs but "+shown(proc.FSType)+" (CVE-2019-16884)")}
	}
	var bare []string
	for _, name := range hidden {
		if n.entries[name] && !covers(t.on(proc, "/proc/"+name)) {
			bare = append(bare, "/proc/"+name)
		}
	}
	for _, name := range readOnly {
		m := t.on(proc, "/proc/"+name)
		if n.entries[name] && (m == nil || !m.ReadOnly) && !covers(m) {
			bare = append(bare, "/proc/"+name)
		}
	}
	if len(bare) == 0 {
		return nil
	}
	return []opening{c.ofProc("no mask is on " + strings.Join(bare, ", "))}
}

// covers tells whether a mount hides what is below: it is the null device, or an empty folder that
// stays empty.
func covers(m *Mount) bool {
	switch {
	case m == nil:
		return false
	case m.FSType == "tmpfs" && m.Root == "/", isEmptyFolder(m):
		return m.ReadOnly
	default:
		return (m.FSType == "tmpfs" || m.FSType == "devtmpfs") && path.Base(m.Root) == "null"
	}
}

// isEmptyFolder tells whether it is the folder that crun mounts where runc mounts an empty file system.
func isEmptyFolder(m *Mount) bool {
	return m.FSType == "tmpfs" && strings.HasSuffix(m.Root, "/crun/.empty-directory")
}

// ofProc is an opening by what is not mounted.
func (c *Container) ofProc(text string) opening {
	first := &c.Processes[0]
	return opening{
		kind: v1alpha1.Portal, portal: "procMount", place: "/proc", text: text, by: first,
		check: "grep ' /proc' " + first.file("mountinfo"),
	}
}
