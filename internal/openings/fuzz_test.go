// SPDX-License-Identifier: Apache-2.0

package openings_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
)

// FuzzInspect looks at containers whose mounts, paths and names are anything: it ends, says only what may
// be shown, settles what was read whole, and never takes the node's root for something that is fine.
func FuzzInspect(f *testing.F) {
	f.Add("/", "/host", "ext4", "cwd", "/x\n", uint8(0), uint64(1<<21), 900, 100)
	f.Add("/etc", "/proc/sys", "proc", "fd/7", "\x1b[2J", uint8(0xff), uint64(1<<63), 900, 900)
	f.Add("/var/lib/kubelet/pods/"+otherUID+"/x", "/proc//../sys", "tmpfs", "root", "", uint8(0x55), uint64(0), -1, 101)
	f.Add("/containerd/containerd.sock//deleted", "relative", "sysfs", "", "x", uint8(0x2a), uint64(1), 100, 900)
	f.Fuzz(func(t *testing.T, root, point, fsType, what, path string, bits uint8, caps uint64, id, parent int) {
		mount := openings.Mount{
			ID: id, Parent: parent, Device: disk, Root: root, Point: point, FSType: fsType,
			ReadOnly: bits&1 != 0, Shared: int(bits >> 1 & 1), Master: int(bits >> 2 & 1),
		}
		if bits&8 != 0 {
			mount.Device = own
		}
		c := container(func(c *openings.Container) {
			c.Mounts = append(c.Mounts, mount)
			c.Grant.Privileged, c.Grant.Plugins = bits&16 != 0, bits&32 != 0
			c.Grant.Mounts = []openings.GrantedMount{{Point: path, HostPath: what, Own: bits&64 != 0}}
			p := &c.Processes[0]
			p.Capabilities, p.Command = openings.Capabilities(caps), path
			p.Handles = []openings.Handle{{What: "cwd", MountID: parent, Path: path, Directory: bits&128 != 0}}
		})
		s := openings.Inspector{Confirm: confirm}
		at := time.Unix(1_800_000_000, 0)
		for range 2 {
			s.Inspect(&openings.Inspection{At: at, Node: node(), Containers: []openings.Container{c}, Pods: map[string]isolation.PodRef{ownID: {UID: podUID}}})
			at = at.Add(confirm)
		}
		if !s.Settled(ownID) {
			t.Error("all was read twice, and it is not settled")
		}
		told := false
		for _, f := range s.Findings() {
			if shown := f.Message + f.Evidence.Check + f.Evidence.Command; isolation.Sanitize(shown, 1<<20) != shown {
				t.Errorf("text that is not sanitised: %q", shown)
			}
			if strings.ContainsAny(f.Evidence.Check, "`$;&|") {
				t.Errorf("a command that does more: %q", f.Evidence.Check)
			}
			told = told || f.Portal == "hostPaths" || f.Portal == "runtimeSockets"
		}
		excess := openings.Capabilities(caps)&^openings.DefaultCapabilities != 0
		for _, f := range s.Findings() {
			excess = excess && f.Portal != "capabilities"
		}
		if excess {
			t.Error("capabilities in excess are not told")
		}
		ordinary := mount.Device == disk && root == "/" && point == "/host" && fsType == "ext4" && what != "/" && !isolation.Within(point, path)
		if ordinary && !told {
			t.Error("the node's root is mounted, and it is not told")
		}
	})
}
