// SPDX-License-Identifier: Apache-2.0

package openings_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
)

const confirm = 7 * time.Second

const (
	podUID   = "11111111-2222-3333-4444-555555555555"
	otherUID = "99999999-2222-3333-4444-555555555555"
)

var (
	ownID     = strings.Repeat("a", 64)
	sandboxID = strings.Repeat("b", 64)
	otherID   = strings.Repeat("c", 64)
	unknownID = strings.Repeat("d", 64)

	disk    = openings.Device{Major: 8, Minor: 1}
	run     = openings.Device{Minor: 20}
	procfs  = openings.Device{Minor: 21}
	udev    = openings.Device{Minor: 5}
	overlay = openings.Device{Minor: 50}
	own     = openings.Device{Minor: 99} // a file system that the container alone has
)

// node is what the node mounts.
func node() *openings.Node {
	return openings.NodeOf([]openings.Mount{
		{ID: 1, Device: disk, Root: "/", Point: "/", FSType: "ext4", Shared: 1},
		{ID: 2, Parent: 1, Device: run, Root: "/", Point: "/run", FSType: "tmpfs", Shared: 2},
		{ID: 3, Parent: 1, Device: procfs, Root: "/", Point: "/proc", FSType: "proc"},
		{ID: 4, Parent: 1, Device: udev, Root: "/", Point: "/dev", FSType: "devtmpfs"},
		{ID: 5, Parent: 2, Device: overlay, Root: "/", Point: "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + ownID + "/rootfs", FSType: "overlay"},
	}, openings.ProcEntries())
}

// mounts are those that containerd gives every container.
func mounts() []openings.Mount {
	all := []openings.Mount{
		{ID: 100, Parent: 90, Device: overlay, Root: "/", Point: "/", FSType: "overlay"},
		{ID: 101, Parent: 100, Device: openings.Device{Minor: 60}, Root: "/", Point: "/proc", FSType: "proc"},
		{ID: 102, Parent: 100, Device: own, Root: "/", Point: "/dev", FSType: "tmpfs"},
		{ID: 103, Parent: 100, Device: openings.Device{Minor: 22}, Root: "/", Point: "/sys", FSType: "sysfs", ReadOnly: true},
		{ID: 104, Parent: 103, Device: openings.Device{Minor: 23}, Root: "/", Point: "/sys/fs/cgroup", FSType: "cgroup2", ReadOnly: true},
		{ID: 105, Parent: 100, Device: disk, Root: "/var/lib/kubelet/pods/" + podUID + "/etc-hosts", Point: "/etc/hosts", FSType: "ext4"},
		{ID: 106, Parent: 100, Device: run, Root: "/containerd/io.containerd.grpc.v1.cri/sandboxes/" + sandboxID + "/shm", Point: "/dev/shm", FSType: "tmpfs"},
		{ID: 107, Parent: 100, Device: disk, Root: "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" + unknownID + "/hostname", Point: "/etc/hostname", FSType: "ext4"},
	}
	for i, name := range openings.ProcEntries() {
		m := openings.Mount{ID: 200 + i, Parent: 101, Device: own, Root: "/null", Point: "/proc/" + name, FSType: "tmpfs"}
		switch name {
		case "acpi", "scsi":
			m.Root, m.ReadOnly = "/", true
		case "bus", "fs", "irq", "sys", "sysrq-trigger":
			m.Root, m.FSType, m.Device, m.ReadOnly = "/"+name, "proc", openings.Device{Minor: 60}, true
		}
		all = append(all, m)
	}
	return all
}

// container is one as containerd makes it, for a container that asks for nothing.
func container(edits ...func(*openings.Container)) openings.Container {
	c := openings.Container{
		Pod: isolation.PodRef{UID: podUID, Namespace: "shop", Name: "web"}, Name: "app", ID: ownID, Directory: podUID,
		Grant: &openings.Grant{Capabilities: openings.DefaultCapabilities}, Mounts: mounts(), MountIDs: []int{100, 101, 102},
		Processes: []openings.Process{{PID: 4711, StartTime: 7, Command: "app", Capabilities: openings.DefaultCapabilities}},
	}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

func with(m openings.Mount) func(*openings.Container) {
	return func(c *openings.Container) {
		m.ID, m.Parent = 900, 100
		c.Mounts = append(c.Mounts, m)
	}
}

func granting(edit func(*openings.Grant)) func(*openings.Container) {
	return func(c *openings.Container) { edit(c.Grant) }
}

func first(edit func(*openings.Process)) func(*openings.Container) {
	return func(c *openings.Container) { edit(&c.Processes[0]) }
}

// found are the findings after two looks, each with its kind, portal and message.
func found(t *testing.T, containers ...openings.Container) []string {
	t.Helper()
	s := openings.Inspector{Confirm: confirm}
	at := time.Unix(1_800_000_000, 0)
	i := &openings.Inspection{At: at, Node: node(), Containers: containers, Pods: map[string]isolation.PodRef{
		ownID:     {UID: podUID, Namespace: "shop", Name: "web"},
		sandboxID: {UID: podUID, Namespace: "shop", Name: "web"},
		otherID:   {UID: otherUID, Namespace: "shop", Name: "other"},
	}}
	s.Inspect(i)
	early := s.Findings()
	for _, f := range early {
		if f.Kind != "Unverified" {
			t.Errorf("found before it was confirmed: %v", f)
		}
	}
	i.At = at.Add(confirm)
	s.Inspect(i)
	findings := s.Findings()
	var out []string
	for _, f := range findings {
		out = append(out, strings.TrimSpace(string(f.Kind)+" "+f.Portal)+": "+f.Message)
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("found:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestAnOrdinaryContainerHasNoOpenings(t *testing.T) {
	expect(t, found(t, container()))
}

func TestPartsOfTheNodeThatNoVolumeAccountsFor(t *testing.T) {
	const no = ", and no volume of the spec accounts for it"
	for name, c := range map[string]struct {
		mount openings.Mount
		want  string
	}{
		"a folder":         {openings.Mount{Device: disk, Root: "/etc", Point: "/host/etc", FSType: "ext4"}, "Portal hostPaths: the node's /etc is mounted at /host/etc" + no},
		"the root":         {openings.Mount{Device: disk, Root: "/", Point: "/host", FSType: "ext4"}, "Portal runtimeSockets: the node's /, where sockets that command the container runtime or the kubelet are, is mounted at /host" + no},
		"a socket":         {openings.Mount{Device: run, Root: "/containerd/containerd.sock", Point: "/s", FSType: "tmpfs"}, "Portal runtimeSockets: the node's /run/containerd/containerd.sock, where sockets that command the container runtime or the kubelet are, is mounted at /s" + no},
		"a device":         {openings.Mount{Device: udev, Root: "/sda", Point: "/dev/sda", FSType: "devtmpfs"}, "Portal devices: the node's /dev/sda is mounted at /dev/sda" + no},
		"a device of all":  {openings.Mount{Device: udev, Root: "/null", Point: "/dev/null", FSType: "devtmpfs"}, ""},
		"its /proc":        {openings.Mount{Device: procfs, Root: "/", Point: "/host/proc", FSType: "proc"}, "Portal procMount: the node's /proc is mounted at /host/proc" + no},
		"another pod's":    {openings.Mount{Device: disk, Root: "/var/lib/kubelet/pods/" + otherUID + "/volumes/x", Point: "/x", FSType: "ext4"}, "Portal hostPaths: the node's /var/lib/kubelet/pods/" + otherUID + "/volumes/x is mounted at /x" + no},
		"its pod's":        {openings.Mount{Device: disk, Root: "/var/lib/kubelet/pods/" + podUID + "/volumes/x", Point: "/x", FSType: "ext4"}, ""},
		"another sandbox":  {openings.Mount{Device: disk, Root: "/var/lib/containerd/sandboxes/" + otherID + "/x", Point: "/x", FSType: "ext4"}, "Portal hostPaths: the node's /var/lib/containerd/sandboxes/" + otherID[:40] + "..."},
		"a removed folder": {openings.Mount{Device: disk, Root: "/srv/x//deleted", Point: "/x", FSType: "ext4"}, "Portal hostPaths: the node's /srv/x is mounted at /x" + no},
		"text that is hostile": {openings.Mount{Device: disk, Root: "/a\n\x1b[2J", Point: "/b\n- forged", FSType: "ext4"},
			`Portal hostPaths: the node's /a\n\x1b[2J is mounted at /b\n- forged` + no},
		"a file system of its own": {openings.Mount{Device: own, Root: "/", Point: "/data", FSType: "tmpfs"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := found(t, container(with(c.mount)))
			if prefix, cut := strings.CutSuffix(c.want, "..."); cut && len(got) == 1 && strings.HasPrefix(got[0], prefix) {
				return
			}
			if c.want == "" {
				expect(t, got)
				return
			}
			expect(t, got, c.want)
		})
	}
}

func TestVolumesAccountForMounts(t *testing.T) {
	volume := func(m openings.GrantedMount) func(*openings.Container) {
		return granting(func(g *openings.Grant) { g.Mounts = append(g.Mounts, m) })
	}
	logs := openings.Mount{Device: disk, Root: "/var/log", Point: "/logs", FSType: "ext4"}
	t.Run("by path", func(t *testing.T) {
		expect(t, found(t, container(with(logs), volume(openings.GrantedMount{Point: "/elsewhere", HostPath: "/var/log"}))))
	})
	t.Run("by where they are mounted, for a link can change the path", func(t *testing.T) {
		expect(t, found(t, container(with(logs), volume(openings.GrantedMount{Point: "/logs", HostPath: "/link"}))))
	})
	t.Run("with what is mounted below", func(t *testing.T) {
		expect(t, found(t, container(with(openings.Mount{Device: run, Root: "/containerd", Point: "/host/run/containerd", FSType: "tmpfs"}),
			volume(openings.GrantedMount{Point: "/host", HostPath: "/"}))))
	})
	t.Run("but not for a path that only begins so", func(t *testing.T) {
		if got := found(t, container(with(logs), volume(openings.GrantedMount{Point: "/log", HostPath: "/var/lo"}))); len(got) != 1 {
			t.Error(got)
		}
	})
	t.Run("but not for more than they say", func(t *testing.T) {
		shared := logs
		shared.Shared = 1
		expect(t, found(t, container(with(shared), volume(openings.GrantedMount{Point: "/logs", HostPath: "/var/log", ReadOnly: true}))),
			"Portal hostPaths: the volume at /logs is writable, and the spec says readOnly",
			"Portal mountPropagation: what is mounted below /logs appears on the node, and the spec does not ask for mount propagation")
	})
	t.Run("if they ask for propagation too", func(t *testing.T) {
		shared := logs
		shared.Shared, shared.ReadOnly = 1, true
		expect(t, found(t, container(with(shared), volume(openings.GrantedMount{Point: "/logs", HostPath: "/var/log", ReadOnly: true, Propagation: true}))))
	})
}

func TestAPrivilegedContainerIsOpenAsItAsks(t *testing.T) {
	c := container(
		granting(func(g *openings.Grant) {
			g.Privileged, g.Unmasked, g.Capabilities = true, true, openings.AllCapabilities
		}),
		with(openings.Mount{Device: udev, Root: "/sda", Point: "/dev/sda", FSType: "devtmpfs"}),
		first(func(p *openings.Process) { p.Capabilities = openings.AllCapabilities }),
		func(c *openings.Container) {
			c.Mounts = slices.DeleteFunc(c.Mounts, func(m openings.Mount) bool { return strings.HasPrefix(m.Point, "/proc/") })
			for i := range c.Mounts {
				c.Mounts[i].ReadOnly = false
			}
		})
	expect(t, found(t, c))
}

func TestMasks(t *testing.T) {
	without := func(points ...string) func(*openings.Container) {
		return func(c *openings.Container) {
			c.Mounts = slices.DeleteFunc(c.Mounts, func(m openings.Mount) bool { return slices.Contains(points, m.Point) })
		}
	}
	change := func(point string, edit func(*openings.Mount)) func(*openings.Container) {
		return func(c *openings.Container) {
			for i := range c.Mounts {
				if c.Mounts[i].Point == point {
					edit(&c.Mounts[i])
				}
			}
		}
	}
	writable := func(m *openings.Mount) { m.ReadOnly = false }
	for name, c := range map[string]struct {
		edit func(*openings.Container)
		want string
	}{
		"are missing":                   {without("/proc/kcore", "/proc/sys"), "no mask is on /proc/kcore, /proc/sys"},
		"may be written":                {change("/proc/sys", writable), "no mask is on /proc/sys"},
		"may be filled":                 {change("/proc/acpi", writable), "no mask is on /proc/acpi"},
		"are something else":            {change("/proc/kcore", func(m *openings.Mount) { m.Root = "/sysrq-trigger" }), "no mask is on /proc/kcore"},
		"lie on a /proc that is hidden": {with(openings.Mount{Device: openings.Device{Minor: 61}, Root: "/", Point: "/proc", FSType: "proc"}), ""},
		"lie on no /proc":               {change("/proc", func(m *openings.Mount) { m.FSType, m.Device = "tmpfs", own }), "/proc is no procfs but tmpfs (CVE-2019-16884)"},
		"have nothing to lie on":        {without("/proc"), "nothing is mounted at /proc"},
		"leave /sys writable":           {change("/sys", writable), "/sys (sysfs) is writable, and the spec does not ask for that"},
		"leave control groups writable": {change("/sys/fs/cgroup", writable), "/sys/fs/cgroup (cgroup2) is writable, and the spec does not ask for that"},
	} {
		t.Run(name, func(t *testing.T) {
			edits := []func(*openings.Container){c.edit}
			want := "Portal procMount: " + c.want
			if c.want == "" {
				// The mount that covers /proc has the covered one as its parent.
				edits = append(edits, change("/proc", func(m *openings.Mount) {
					if m.ID == 900 {
						m.Parent = 101
					}
				}))
				want = "Portal procMount: no mask is on /proc/" + strings.Join(openings.ProcEntries(), ", /proc/")
			}
			expect(t, found(t, container(edits...)), want)
		})
	}
}

func TestNoVolumeAtProcStandsForItsMasks(t *testing.T) {
	volume := func(m openings.GrantedMount) func(*openings.Container) {
		return granting(func(g *openings.Grant) { g.Mounts = append(g.Mounts, m) })
	}
	without := func(point string) func(*openings.Container) {
		return func(c *openings.Container) {
			c.Mounts = slices.DeleteFunc(c.Mounts, func(m openings.Mount) bool { return m.Point == point })
		}
	}
	nodes := func(c *openings.Container) { // the node's /proc, with the masks of the runtime on it
		for i := range c.Mounts {
			if m := &c.Mounts[i]; m.FSType == "proc" {
				m.Device = procfs
			}
		}
	}
	noProc := func(c *openings.Container) {
		for i := range c.Mounts {
			if m := &c.Mounts[i]; m.Point == "/proc" {
				m.FSType, m.Device, m.Root = "ext4", disk, "/var/lib/kubelet/pods/"+podUID+"/volumes/kubernetes.io~empty-dir/data"
			}
		}
	}
	part := func(point, root string) func(*openings.Container) {
		return with(openings.Mount{Device: openings.Device{Minor: 60}, Root: root, Point: point, FSType: "proc"})
	}
	own, claim, host := openings.GrantedMount{Point: "/proc", Own: true}, openings.GrantedMount{Point: "/proc"}, openings.GrantedMount{Point: "/proc", HostPath: "/proc"}
	settings := func(fsType, point string) func(*openings.Container) {
		return with(openings.Mount{Device: openings.Device{Minor: 70}, Root: "/", Point: point, FSType: fsType})
	}
	const bare, sysctl = "no mask is on /proc/kcore", "/proc/sys/net (proc) is writable, and the spec does not ask for that"
	for name, c := range map[string]struct {
		edits []func(*openings.Container)
		want  string
	}{
		"a folder of the pod":                          {[]func(*openings.Container){volume(own), without("/proc/kcore")}, bare},
		"a claim":                                      {[]func(*openings.Container){volume(claim), without("/proc/kcore")}, bare},
		"the node's /proc without a mask":              {[]func(*openings.Container){volume(host), nodes, without("/proc/kcore")}, bare},
		"the node's /proc as runtimes mount it":        {[]func(*openings.Container){volume(host), nodes}, ""},
		"a claim at what is masked":                    {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/proc/kcore"}), without("/proc/kcore")}, bare},
		"what is no procfs":                            {[]func(*openings.Container){volume(own), noProc}, "/proc is no procfs but ext4 (CVE-2019-16884)"},
		"a claim at what may only be read":             {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/proc/sys/net"}), part("/proc/sys/net", "/sys/net")}, sysctl},
		"a folder of the pod at what may only be read": {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/proc/sys/net", Own: true}), part("/proc/sys/net", "/sys/net")}, sysctl},
		"another folder of the node":                   {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/proc/sys/net", HostPath: "/srv"}), part("/proc/sys/net", "/sys/net")}, sysctl},
		"the node's settings, asked for":               {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/proc/sys/net", HostPath: "/proc/sys/net"}), part("/proc/sys/net", "/sys/net")}, ""},
		"the node's settings, asked for and elsewhere": {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/settings", HostPath: "/link"}), part("/settings", "/sys")}, ""},
		"a folder of the pod where control groups are": {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/c", Own: true}), settings("cgroup", "/c")}, "/c (cgroup) is writable, and the spec does not ask for that"},
		"a claim at /sys/fs/cgroup":                    {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/sys/fs/cgroup/x"}), settings("cgroup2", "/sys/fs/cgroup/x")}, "/sys/fs/cgroup/x (cgroup2) is writable, and the spec does not ask for that"},
		"the node's control groups, asked for":         {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/sys/fs/cgroup/x", HostPath: "/sys/fs/cgroup"}), settings("cgroup2", "/sys/fs/cgroup/x")}, ""},
		"a file system for BPF that a driver brings":   {[]func(*openings.Container){volume(openings.GrantedMount{Point: "/sys/fs/bpf"}), settings("bpf", "/sys/fs/bpf")}, ""},
		"a file of /proc that a FUSE of the node stands for": {[]func(*openings.Container){
			volume(openings.GrantedMount{Point: "/proc/cpuinfo", HostPath: "/var/lib/lxcfs/proc/cpuinfo"}), settings("fuse.lxcfs", "/proc/cpuinfo"),
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if c.want != "" {
				want = []string{"Portal procMount: " + c.want}
			}
			expect(t, found(t, container(c.edits...)), want...)
		})
	}
}

func TestPrivilegesInExcess(t *testing.T) {
	const sysAdmin = openings.Capabilities(1 << 21)
	expect(t, found(t, container(
		granting(func(g *openings.Grant) { g.NoNewPrivileges, g.Filtered = true, true }),
		first(func(p *openings.Process) { p.Capabilities |= sysAdmin }))),
		"Portal capabilities: it has the capabilities SYS_ADMIN beyond those that the spec asks for",
		"Portal noNewPrivileges: it may gain privileges, and the spec says allowPrivilegeEscalation: false",
		"Portal seccomp: no seccomp filter is on it, and the spec asks for one")
	expect(t, found(t, container(
		granting(func(g *openings.Grant) { g.NoNewPrivileges, g.Filtered, g.Capabilities = true, true, sysAdmin }),
		first(func(p *openings.Process) { p.NoNewPrivileges, p.Filtered, p.Capabilities = true, true, sysAdmin }))))
}

func TestHandlesThatLeadOut(t *testing.T) {
	other := container(func(c *openings.Container) {
		c.ID, c.Pod, c.MountIDs, c.Grant = otherID, isolation.PodRef{UID: otherUID, Namespace: "shop", Name: "other"}, []int{700}, nil
	})
	has := func(what string, id int) func(*openings.Container) {
		return first(func(p *openings.Process) {
			p.Handles = append(p.Handles, openings.Handle{What: "cwd", MountID: 100}, openings.Handle{What: what, MountID: id, Path: "/x\n", Directory: what == "cwd" || what == "root"})
		})
	}
	expect(t, found(t, container(has("cwd", 2))), `Leak: cwd of process 4711 ("app") is on a mount of the node: /x\n`)
	expect(t, found(t, container(has("fd/7", 700)), other), `Leak: fd/7 of process 4711 ("app") is on a mount of shop/other: /x\n`)
	expect(t, found(t, container(has("fd/1", 2))))            // chosen by who started it
	expect(t, found(t, container(has("fd/7", 4))))            // of the node's /dev, such as a terminal
	expect(t, found(t, container(has("fd/7", 12345)), other)) // of nobody, such as a pipe's
	expect(t, found(t, container(has("root", 1), first(func(p *openings.Process) { p.Outside = true }))))
	// Without a grant nothing is too much, but a leak is one all the same.
	expect(t, found(t, container(has("root", 1), func(c *openings.Container) { c.Grant = nil }, with(openings.Mount{Device: disk, Root: "/etc", Point: "/e", FSType: "ext4"}))),
		`Leak: root of process 4711 ("app") is on a mount of the node: /x\n`)
}

func TestWhatCouldNotBeReadIsTold(t *testing.T) {
	expect(t, found(t, container(func(c *openings.Container) { c.Unread = "its mounts could not be read: \x1b" })),
		`Unverified mounts: its mounts could not be read: \x1b`)
}

func TestACauseThatIsGoneClearsItsFinding(t *testing.T) {
	s := openings.Inspector{Confirm: confirm}
	at := time.Unix(1_800_000_000, 0)
	look := func(c openings.Container, pods map[string]isolation.PodRef) int {
		at = at.Add(confirm)
		s.Inspect(&openings.Inspection{At: at, Node: node(), Containers: []openings.Container{c}, Pods: pods})
		return len(s.Findings())
	}
	pods := map[string]isolation.PodRef{ownID: {UID: podUID}}
	open := container(with(openings.Mount{Device: disk, Root: "/etc", Point: "/e", FSType: "ext4"}))
	if look(open, pods) != 0 || look(open, pods) != 1 || look(container(), pods) != 0 || look(open, pods) != 0 || look(open, pods) != 1 {
		t.Error("a finding comes when it is confirmed and goes with its cause")
	}
	s.Inspect(&openings.Inspection{At: at.Add(time.Second), Node: node()})
	if len(s.Findings()) != 0 {
		t.Error("a container that is gone has no findings")
	}
}

func TestAContainerIsLookedAtAgainAfterAWhile(t *testing.T) {
	s := openings.Inspector{Confirm: confirm}
	at := time.Unix(1_800_000_000, 0)
	inspect := func(c openings.Container) {
		s.Inspect(&openings.Inspection{At: at, Node: node(), Containers: []openings.Container{c}, Pods: map[string]isolation.PodRef{ownID: {UID: podUID}}})
	}
	if !s.Due(ownID, true, at) {
		t.Error("a new container is due")
	}
	inspect(container())
	if s.Due(ownID, true, at.Add(openings.Every-11*time.Second)) || !s.Due(ownID, true, at.Add(openings.Every)) {
		t.Error("it is due after a while")
	}
	inspect(container(func(c *openings.Container) { c.Grant = nil }))
	if !s.Due(ownID, true, at) || s.Due(ownID, false, at) {
		t.Error("it is due when it is known what the spec asks for")
	}
	inspect(container(with(openings.Mount{Device: disk, Root: "/etc", Point: "/e", FSType: "ext4"})))
	if s.Due(ownID, true, at) || !s.Due(ownID, true, at.Add(confirm)) {
		t.Error("what must be confirmed is due when it can be")
	}
}

func TestAContainerIsSettledOnceWhatItShowedIsConfirmed(t *testing.T) {
	open := with(openings.Mount{Device: disk, Root: "/etc", Point: "/e", FSType: "ext4"})
	unread := func(c *openings.Container) { c.Unread = "too many" }
	unknown := func(c *openings.Container) { c.Grant = nil }
	ended := func(c *openings.Container) { c.Processes = nil }
	type edits = []func(*openings.Container)
	for name, c := range map[string]struct {
		looks []edits
		want  []bool
	}{
		"at once if nothing is open":                        {[]edits{{}}, []bool{true}},
		"at the second look if something is":                {[]edits{{open}, {open}}, []bool{false, true}},
		"and stays so when something new is open":           {[]edits{{}, {open}}, []bool{true, true}},
		"not while it is not known what the spec asks for":  {[]edits{{unknown}, {unknown}, {open}, {open}}, []bool{false, false, false, true}},
		"not while it cannot be read":                       {[]edits{{unread}, {unread}, {}}, []bool{false, false, true}},
		"not by a look at a first process that ended there": {[]edits{{ended}, {}}, []bool{false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openings.Inspector{Confirm: confirm}
			at := time.Unix(1_800_000_000, 0)
			var got []bool
			for _, edits := range c.looks {
				s.Inspect(&openings.Inspection{At: at, Node: node(), Containers: []openings.Container{container(edits...)}, Pods: map[string]isolation.PodRef{ownID: {UID: podUID}}})
				got, at = append(got, s.Settled(ownID)), at.Add(confirm)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("settled %v, want %v", got, c.want)
			}
			if s.Settled(otherID) {
				t.Error("a container that was never looked at is settled")
			}
		})
	}
}

func TestWhatEndedWhileItWasLookedAtIsSoonDueAgain(t *testing.T) {
	s := openings.Inspector{Confirm: confirm}
	at := time.Unix(1_800_000_000, 0)
	s.Inspect(&openings.Inspection{
		At: at, Node: node(), Containers: []openings.Container{container(func(c *openings.Container) { c.Processes = nil })},
		Pods: map[string]isolation.PodRef{ownID: {UID: podUID}},
	})
	if !s.Due(ownID, true, at.Add(confirm)) {
		t.Error("it is not due")
	}
}

func TestCapabilitiesInExcessAreNamedApartFromTheMessage(t *testing.T) {
	const sysAdmin, bpf, later = openings.Capabilities(1 << 21), openings.Capabilities(1 << 39), openings.Capabilities(1 << 50)
	c := container(first(func(p *openings.Process) { p.Capabilities |= sysAdmin }), func(c *openings.Container) {
		second := c.Processes[0]
		second.PID, second.Capabilities = 4712, sysAdmin|bpf|later
		third := second
		third.PID = 4713
		c.Processes = append(c.Processes, second, third)
	})
	s := openings.Inspector{Confirm: confirm}
	at := time.Unix(1_800_000_000, 0)
	for range 2 {
		s.Inspect(&openings.Inspection{At: at, Node: node(), Containers: []openings.Container{c}, Pods: map[string]isolation.PodRef{ownID: {UID: podUID}}})
		at = at.Add(confirm)
	}
	f := s.Findings()
	if len(f) != 1 || !slices.Equal(f[0].Capabilities, []string{"SYS_ADMIN", "BPF", "CAP_50"}) || f[0].Evidence.Processes != 2 {
		t.Errorf("found %+v", f)
	}
}

func TestGrantOf(t *testing.T) {
	const spec = `
securityContext: {seccompProfile: {type: RuntimeDefault}}
volumes: [{name: log, hostPath: {path: /var/run/x/}}, {name: tmp, emptyDir: {}}]
initContainers:
- {name: privileged, securityContext: {privileged: true}}
containers:
- name: app
  resources: {limits: {cpu: 1, example.com/gpu: 1}}
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [all], add: [cap_sys_admin, NOBODY]}, seccompProfile: {type: Unconfined}}
  volumeMounts: [{name: log, mountPath: /log/, subPath: a, readOnly: true, mountPropagation: HostToContainer}, {name: tmp, mountPath: /var/run/tmp}]
ephemeralContainers: [{name: debug, securityContext: {procMount: Unmasked}}]`
	var s corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	app, ok := openings.GrantOf(&s, "app")
	if !ok || app.Capabilities.String() != "SYS_ADMIN" || !app.NoNewPrivileges || app.Filtered || !app.Plugins || app.Privileged || app.Unmasked {
		t.Errorf("%+v", app)
	}
	want := []openings.GrantedMount{{Point: "/log", HostPath: "/run/x/a", ReadOnly: true, Propagation: true}, {Point: "/run/tmp", Own: true}}
	if !slices.Equal(app.Mounts, want) {
		t.Errorf("%+v", app.Mounts)
	}
	all, _ := openings.GrantOf(&s, "privileged")
	if !all.Privileged || !all.Unmasked || all.Capabilities != openings.AllCapabilities || all.Filtered {
		t.Errorf("%+v", all)
	}
	debug, _ := openings.GrantOf(&s, "debug")
	if !debug.Unmasked || debug.Capabilities != openings.DefaultCapabilities || !debug.Filtered {
		t.Errorf("%+v", debug)
	}
	if _, ok := openings.GrantOf(&s, "nobody"); ok {
		t.Error("there is no such container")
	}
}

func TestInAChrootOnlyWhatIsInItIsJudged(t *testing.T) {
	chroot := func(c *openings.Container) {
		c.Chroot = "/node"
		c.Mounts = []openings.Mount{{ID: 1000, Device: disk, Root: "/", Point: "/node", FSType: "ext4"}, {ID: 1001, Device: run, Root: "/", Point: "/node/run", FSType: "tmpfs"}}
	}
	volume := granting(func(g *openings.Grant) {
		g.Mounts = []openings.GrantedMount{{Point: "/node", HostPath: "/", ReadOnly: true}}
	})
	readOnly := func(c *openings.Container) { c.Mounts[0].ReadOnly = true }
	const unseen = "Unverified mounts: its first process is in a chroot: what is mounted outside of it is not seen"
	expect(t, found(t, container(chroot, volume, readOnly)), unseen)
	expect(t, found(t, container(chroot, volume)),
		"Portal hostPaths: the volume at /node is writable, and the spec says readOnly", unseen)
}

func TestTwoPodsThatHaveTheSameUserIDs(t *testing.T) {
	ids := func(first uint32, start uint64, id, uid, name string) openings.Container {
		return container(func(c *openings.Container) {
			c.ID, c.Pod, c.Grant, c.MountIDs = id, isolation.PodRef{UID: uid, Namespace: "shop", Name: name}, nil, nil
			c.UserIDs, c.Processes[0].StartTime = []openings.Range{{First: first, Count: 65536}}, start
		})
	}
	const want = "Foreign: its user namespace has user IDs of the node that shop/web has as well"
	expect(t, found(t, ids(65536, 1, ownID, podUID, "web"), ids(131071, 2, otherID, otherUID, "other")), want)
	expect(t, found(t, ids(65536, 1, ownID, podUID, "web"), ids(131072, 2, otherID, otherUID, "other")))
	expect(t, found(t, ids(65536, 1, ownID, podUID, "web"), ids(65536, 2, sandboxID, podUID, "web")))
}

func TestWhatIsSetIsJudgedWhereverItIsMounted(t *testing.T) {
	for _, c := range []struct {
		mount openings.Mount
		want  string
	}{
		{openings.Mount{Device: openings.Device{Minor: 70}, Root: "/", Point: "/tmp/cgrp", FSType: "cgroup"}, "/tmp/cgrp (cgroup) is writable, and the spec does not ask for that"},
		{openings.Mount{Device: openings.Device{Minor: 60}, Root: "/sys/kernel/core_pattern", Point: "/dev/console", FSType: "proc"}, "/dev/console (proc) is writable, and the spec does not ask for that"},
		{openings.Mount{Device: procfs, Root: "/sys/kernel", Point: "/x", FSType: "proc", ReadOnly: true}, "the node's /proc/sys/kernel is mounted at /x, and no volume of the spec accounts for it"},
	} {
		expect(t, found(t, container(with(c.mount))), "Portal procMount: "+c.want)
	}
}

func TestAVolumeOfThePodAccountsForNothingElseThatIsThere(t *testing.T) {
	volume := granting(func(g *openings.Grant) {
		g.Mounts = []openings.GrantedMount{{Point: "/data", Own: true}, {Point: "/claim"}}
	})
	at := func(point, root string) []string {
		return found(t, container(volume, with(openings.Mount{Device: disk, Root: root, Point: point, FSType: "ext4"})))
	}
	expect(t, at("/data", "/var/lib/kubelet/pods/"+podUID+"/volumes/kubernetes.io~empty-dir/data"))
	expect(t, at("/data", "/etc"), "Portal hostPaths: the node's /etc is mounted at /data, and no volume of the spec accounts for it")
	expect(t, at("/claim", "/mnt/disks/1"))
	if got := at("/claim", "/"); len(got) != 1 {
		t.Errorf("the node's root at a claim: %q", got)
	}
}

func TestAVolumeWithoutAPathAccountsForWhatItShowsOnly(t *testing.T) {
	const no = ", and no volume of the spec accounts for it"
	claim := openings.Mount{ID: 500, Parent: 100, Device: disk, Root: "/mnt/disks/1", Point: "/claim", FSType: "ext4"}
	at := func(m openings.Mount) []string {
		m.ID = 501
		if m.Parent == 0 {
			m.Parent = claim.ID
		}
		return found(t, container(func(c *openings.Container) { c.Mounts = append(c.Mounts, claim, m) }, granting(func(g *openings.Grant) {
			g.Mounts = []openings.GrantedMount{{Point: "/claim", Propagation: true}, {Point: "/claim/token", Own: true}, {Point: "/claim/second"}}
		})))
	}
	for name, m := range map[string]openings.Mount{
		"what the node mounts below it":       {Device: disk, Root: "/mnt/disks/1/sub", Point: "/claim/sub", FSType: "ext4"},
		"a part of it that is bound again":    {Device: disk, Root: "/mnt/disks/1/a", Point: "/claim/b", FSType: "ext4"},
		"itself, mounted once more":           {Device: disk, Root: "/mnt/disks/1", Point: "/claim", FSType: "ext4"},
		"a token below it":                    {Device: disk, Root: "/var/lib/kubelet/pods/" + podUID + "/volumes/kubernetes.io~projected/t", Point: "/claim/token", FSType: "ext4"},
		"another claim below it":              {Device: disk, Root: "/mnt/disks/2", Point: "/claim/second", FSType: "ext4"},
		"a file of the kubelet's for the pod": {Device: disk, Root: "/var/lib/kubelet/pods/" + podUID + "/etc-hosts", Point: "/claim/hosts", FSType: "ext4", Shared: 1},
	} {
		t.Run(name, func(t *testing.T) { expect(t, at(m)) })
	}
	for _, folder := range []string{"/etc", "/home", "/var/lib/kubelet/pods", "/mnt/disks/3", "/mnt/disks/11"} {
		for _, point := range []string{"/claim/x", "/claim"} {
			expect(t, at(openings.Mount{Device: disk, Root: folder, Point: point, FSType: "ext4"}),
				"Portal hostPaths: the node's "+folder+" is mounted at "+point+no)
		}
	}
	expect(t, at(openings.Mount{Device: openings.Device{Minor: 70}, Root: "/", Point: "/claim/cgrp", FSType: "cgroup"}),
		"Portal procMount: /claim/cgrp (cgroup) is writable, and the spec does not ask for that")
}

func TestWhatCoversAVolumeIsNotTheVolume(t *testing.T) {
	const no = ", and no volume of the spec accounts for it"
	at := func(volume openings.Mount, over openings.Mount) []string {
		volume.ID, volume.Parent, volume.Point = 500, 100, "/claim"
		over.ID, over.Parent, over.FSType = 501, 500, "ext4"
		return found(t, container(func(c *openings.Container) { c.Mounts = append(c.Mounts, volume, over) },
			granting(func(g *openings.Grant) { g.Mounts = []openings.GrantedMount{{Point: "/claim"}} })))
	}
	// A driver may mount what the node's first process does not see.
	elsewhere := openings.Mount{Device: own, Root: "/", FSType: "fuse.driver"}
	for _, point := range []string{"/claim", "/claim/sub"} {
		expect(t, at(elsewhere, openings.Mount{Device: disk, Root: "/etc", Point: point}), "Portal hostPaths: the node's /etc is mounted at "+point+no)
		expect(t, at(elsewhere, openings.Mount{Device: own, Root: "/sub", Point: point}))
		expect(t, at(elsewhere, openings.Mount{Device: disk, Root: "/var/lib/kubelet/pods/" + podUID + "/volumes/kubernetes.io~csi/pv/mount", Point: point}))
	}
}

func TestAClaimIsNeverWhatIsAnotherPodsAlone(t *testing.T) {
	folder := "/var/lib/kubelet/pods/" + otherUID + "/volumes/kubernetes.io~empty-dir/data"
	claim := granting(func(g *openings.Grant) { g.Mounts = []openings.GrantedMount{{Point: "/claim"}} })
	expect(t, found(t, container(claim, with(openings.Mount{Device: disk, Root: folder, Point: "/claim", FSType: "ext4"}))),
		"Portal hostPaths: the node's "+folder+" is mounted at /claim, and no volume of the spec accounts for it")
	// A pod that the node does not have now may be one that had the volume before.
	gone := "/var/lib/kubelet/pods/88888888-2222-3333-4444-555555555555/volumes/x"
	expect(t, found(t, container(claim, with(openings.Mount{Device: disk, Root: gone, Point: "/claim", FSType: "ext4"}))))
}

func TestAVolumeOfAPathAccountsBelowItForNothingThatIsGuarded(t *testing.T) {
	const no = ", and no volume of the spec accounts for it"
	at := func(g openings.GrantedMount, volume string, m openings.Mount) []string {
		m.ID, m.Parent = 501, 500
		v := openings.Mount{ID: 500, Parent: 100, Device: disk, Root: volume, Point: g.Point, FSType: "ext4"}
		return found(t, container(func(c *openings.Container) { c.Mounts = append(c.Mounts, v, m) }, granting(func(grant *openings.Grant) {
			grant.Mounts = []openings.GrantedMount{g}
		})))
	}
	logs := openings.GrantedMount{Point: "/logs", HostPath: "/var/log"}
	socket := openings.Mount{Device: run, Root: "/containerd", Point: "/logs/x", FSType: "tmpfs"}
	root := openings.Mount{Device: disk, Root: "/", Point: "/logs/x", FSType: "ext4"}
	other := openings.Mount{Device: disk, Root: "/var/lib/kubelet/pods/" + otherUID + "/volumes/x", Point: "/logs/x", FSType: "ext4"}
	const sockets = ", where sockets that command the container runtime or the kubelet are, is mounted at /logs/x" + no
	expect(t, at(logs, "/var/log", socket), "Portal runtimeSockets: the node's /run/containerd"+sockets)
	expect(t, at(logs, "/var/log", root), "Portal runtimeSockets: the node's /"+sockets)
	expect(t, at(logs, "/var/log", other), "Portal hostPaths: the node's "+other.Root+" is mounted at /logs/x"+no)
	t.Run("but for what the path shows, also by a link", func(t *testing.T) {
		below := func(m openings.Mount, point string) openings.Mount { m.Point = point; return m }
		expect(t, at(openings.GrantedMount{Point: "/host", HostPath: "/"}, "/", below(socket, "/host/run/containerd")))
		expect(t, at(openings.GrantedMount{Point: "/host", HostPath: "/link"}, "/", below(socket, "/host/run/containerd")))
		expect(t, at(openings.GrantedMount{Point: "/kubelet", HostPath: "/var/lib/kubelet"}, "/var/lib/kubelet", below(other, "/kubelet/pods/"+otherUID+"/volumes/x")))
		expect(t, at(openings.GrantedMount{Point: "/s", HostPath: "/link"}, "/srv", below(socket, "/s")))
	})
	t.Run("and for what the node may have had mounted there when the container started", func(t *testing.T) {
		expect(t, at(logs, "/var/log", openings.Mount{Device: disk, Root: "/srv/archive", Point: "/logs/archive", FSType: "ext4"}))
	})
}

func TestAVolumeAtTheRootAccountsForNothingBelow(t *testing.T) {
	root := granting(func(g *openings.Grant) { g.Mounts = []openings.GrantedMount{{Point: "/"}} })
	expect(t, found(t, container(root)))
	expect(t, found(t, container(root, with(openings.Mount{Device: disk, Root: "/root", Point: "/x", FSType: "ext4"}))),
		"Portal hostPaths: the node's /root is mounted at /x, and no volume of the spec accounts for it")
	unmasked := func(c *openings.Container) {
		c.Mounts = slices.DeleteFunc(c.Mounts, func(m openings.Mount) bool { return m.Point == "/proc/kcore" })
	}
	expect(t, found(t, container(root, unmasked)), "Portal procMount: no mask is on /proc/kcore")
}

func TestAVolumeNearerToAMountGoesBeforeOneOfItsPath(t *testing.T) {
	exporter := granting(func(g *openings.Grant) {
		g.Mounts = []openings.GrantedMount{{Point: "/host/proc", HostPath: "/proc"}, {Point: "/host/node", HostPath: "/", Propagation: true}}
	})
	expect(t, found(t, container(exporter, with(openings.Mount{Device: procfs, Root: "/", Point: "/host/node/proc", FSType: "proc", Master: 1}))))
}

func TestMasksOfCrun(t *testing.T) {
	empty := func(c *openings.Container) {
		for i := range c.Mounts {
			if c.Mounts[i].Point == "/proc/acpi" {
				c.Mounts[i].Device, c.Mounts[i].Root, c.Mounts[i].ReadOnly = run, "/crun/.empty-directory", true
			}
		}
	}
	expect(t, found(t, container(empty)))
}

// A table is no snapshot: mounts that are moved while it is read can form a circle.
func TestACircleOfMountsEnds(t *testing.T) {
	circle := func(c *openings.Container) {
		for i := range c.Mounts {
			switch m := &c.Mounts[i]; m.Point {
			case "/proc/acpi":
				m.ID, m.Parent = 901, 902
			case "/proc/scsi":
				m.ID, m.Parent = 902, 901
			}
		}
	}
	expect(t, found(t, container(circle)), "Portal procMount: no mask is on /proc/acpi, /proc/scsi")
}

func TestCapabilitiesInAUserNamespaceOfItsOwnAreNoExcess(t *testing.T) {
	expect(t, found(t, container(first(func(p *openings.Process) { p.Capabilities, p.Nested = openings.AllCapabilities, true }))))
}

// runc's init has a fifo of the node open until it is told to start what it is for.
func TestContainerThatIsCreatedAndNotStartedLeaksNothing(t *testing.T) {
	for _, c := range []struct {
		handle openings.Handle
		after  time.Duration
	}{
		{openings.Handle{What: "fd/7", MountID: 1, Path: "/run/runc/exec.fifo"}, openings.StartedAfter},
		{openings.Handle{What: "fd/7", MountID: 1, Path: "/run/runc", Directory: true}, confirm},
	} {
		s := openings.Inspector{Confirm: confirm}
		created := container(first(func(p *openings.Process) { p.Handles = append(p.Handles, c.handle) }))
		at := time.Unix(1_800_000_000, 0)
		for passed := time.Duration(0); passed <= openings.StartedAfter+confirm; passed += confirm {
			s.Inspect(&openings.Inspection{At: at.Add(passed), Node: node(), Containers: []openings.Container{created}, Pods: map[string]isolation.PodRef{ownID: created.Pod}})
			if told := len(s.Findings()) > 0; told != (passed >= c.after) {
				t.Errorf("%+v after %s: %v", c.handle, passed, s.Findings())
			}
			if !s.Due(ownID, true, at.Add(passed+confirm)) && passed+confirm < c.after {
				t.Errorf("%+v after %s: no other look is due", c.handle, passed)
			}
		}
	}
}

func TestAnotherProcessOfTheContainerConfirmsALeak(t *testing.T) {
	s := openings.Inspector{Confirm: confirm}
	at := time.Unix(1_800_000_000, 0)
	look := func(pid int, child bool) int {
		at = at.Add(confirm)
		c := container(func(c *openings.Container) {
			c.Processes = append(c.Processes, openings.Process{PID: pid, Child: child, Capabilities: openings.DefaultCapabilities, Handles: []openings.Handle{{What: "fd/9", MountID: 1}}})
		})
		s.Inspect(&openings.Inspection{At: at, Node: node(), Containers: []openings.Container{c}, Pods: map[string]isolation.PodRef{ownID: c.Pod}})
		return len(s.Findings())
	}
	if look(1, false) != 0 || look(2, false) != 0 {
		t.Error("what runtimes bring in is another process each time")
	}
	if look(3, true) != 0 || look(4, true) != 1 {
		t.Error("a container that forks does not hide by that")
	}
}
