// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"strings"
)

const (
	cgroupFile  = "cgroup"
	cgroupLimit = 256 << 10 // a path of up to 4,096 bytes in each of up to some forty hierarchies
)

// CgroupEntry is the process's cgroup in one hierarchy: one line of /proc/<pid>/cgroup.
type CgroupEntry struct {
	// HierarchyID is 0 for the unified hierarchy (cgroup v2), and a number that this boot gave to a
	// v1 hierarchy.
	HierarchyID int
	// Controllers are those of a v1 hierarchy, separated by commas ("cpu,cpuacct"), or its name
	// ("name=systemd"). Empty for the unified hierarchy.
	Controllers string
	// Path is the cgroup's path, raw. It is relative to the root of the reader's cgroup namespace
	// and then begins with "/.." for what is above or beside (cgroup_namespaces(7)). Whoever can
	// make cgroups chooses its parts, so it can look like another's; those inside a container come
	// after those that the runtime made. " (deleted)" is added by the kernel if a v2 cgroup was
	// removed and a zombie is left in it, and can be part of a name as well.
	Path string
}

// Has says whether the hierarchy has the controller or v1 name ("memory", "name=systemd").
func (e CgroupEntry) Has(controller string) bool {
	for rest := e.Controllers; rest != ""; {
		var one string
		one, rest, _ = strings.Cut(rest, ",")
		if one == controller {
			return true
		}
	}
	return false
}

// Cgroups are all of a process's cgroups in the kernel's order: one entry on cgroup v2, one per
// hierarchy on v1, both on hybrid hosts.
type Cgroups []CgroupEntry

// Path gives the path in the hierarchy of a v1 controller or name, for "" in the unified hierarchy.
func (c Cgroups) Path(controller string) (path string, found bool) {
	for _, entry := range c {
		if controller == "" && entry.HierarchyID == 0 || controller != "" && entry.Has(controller) {
			return entry.Path, true
		}
	}
	return "", false
}

// Cgroups reads /proc/<pid>/cgroup (cgroups(7)). Everybody may read it. Of a zombie the kernel
// shows the cgroup that it was in on v2, and the root on v1.
//
// An unclear file is an error and never a part of the truth. The kernel refuses newlines in names
// of cgroups, "to prevent making /proc/<pid>/cgroup unparsable" (kernel/cgroup/cgroup.c,
// cgroup_mkdir), but let them in by renaming a v1 cgroup before 5.13 (cgroup1_rename): lines that
// do not parse, or that repeat a hierarchy, are refused.
func (p Process) Cgroups() (Cgroups, error) {
	text, err := p.readRecord(cgroupFile, cgroupLimit)
	if err != nil {
		return nil, err
	}
	cgroups, err := parseCgroups(text)
	if err != nil {
		return nil, p.failed("parse", cgroupFile, err)
	}
	return cgroups, nil
}

// parseCgroups parses lines of "ID:CONTROLLERS:PATH". A path can hold colons. The strings of all
// entries share one copy of the text.
func parseCgroups(text []byte) (Cgroups, error) {
	if len(text) == 0 {
		return nil, nil // a kernel with cgroups and no hierarchy mounted
	}
	if !bytes.HasSuffix(text, []byte{'\n'}) {
		return nil, errTruncated
	}
	cgroups := make(Cgroups, 0, bytes.Count(text, []byte{'\n'}))
	for rest := string(text); rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		entry, ok := parseCgroup(line)
		if !ok {
			return nil, malformed("not HIERARCHY:CONTROLLERS:PATH", []byte(line))
		}
		for _, other := range cgroups {
			if other.HierarchyID == entry.HierarchyID {
				return nil, malformed("the hierarchy is there twice", []byte(line))
			}
		}
		cgroups = append(cgroups, entry)
	}
	return cgroups, nil
}

func parseCgroup(line string) (entry CgroupEntry, ok bool) {
	id, rest, found := strings.Cut(line, ":")
	if !found {
		return entry, false
	}
	if entry.Controllers, entry.Path, found = strings.Cut(rest, ":"); !found {
		return entry, false
	}
	if entry.HierarchyID, ok = parseInt([]byte(id)); !ok {
		return entry, false
	}
	unified := entry.HierarchyID == 0
	return entry, unified == (entry.Controllers == "") && strings.HasPrefix(entry.Path, "/")
}
