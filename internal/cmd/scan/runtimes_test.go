// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

// runtimesPaths are cgroups as runtimes make them: ID, UID and U_ID are to be replaced, and NAME for
// runtimes that have names.
var runtimesPaths = []struct{ what, cgroup, runtime, pod string }{
	{"docker", "0::/system.slice/docker-ID.scope", "docker", ""},
	{"docker without systemd", "0::/docker/ID", "docker", ""},
	{"docker on cgroup v1", "3:pids:/docker/ID\n1:name=systemd:/\n0::/system.slice/docker.service", "docker", ""},
	{"podman", "0::/machine.slice/libpod-ID.scope/container", "podman", ""},
	{"podman without root", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", "podman", ""},
	{"a pod of podman", "0::/machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope/container", "podman", "ID"},
	{"containerd by nerdctl", "0::/system.slice/nerdctl-ID.scope", "containerd", ""},
	{"LXC", "0::/lxc.payload.NAME/system.slice/cron.service", "lxc", ""},
	{"LXC before version 4", "0::/lxc/NAME", "lxc", ""},
	{"systemd-nspawn", "0::/machine.slice/systemd-nspawn@NAME.service/payload", "systemd-nspawn", ""},
	{"Kubernetes, containerd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-ID.scope", "containerd", "UID"},
	{"Kubernetes, CRI-O", "0::/kubepods.slice/kubepods-podU_ID.slice/crio-ID.scope/container", "cri-o", "UID"},
	{"Kubernetes, cgroupfs", "0::/kubepods/burstable/podUID/ID", "", "UID"},
	{"Kubernetes on cgroup v1", "5:memory:/kubepods/podUID/ID\n0::/", "", "UID"},
	{"kind", "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_ID.slice/cri-containerd-ID.scope", "containerd", "UID"},
}

func TestKnowsTheContainersOfEveryRuntime(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	filled := func(i int, text string) string {
		uid := fmt.Sprintf("6a3cd1cd-1f5c-4b0e-8e0b-3d4d1f9d5e%02x", i)
		return strings.NewReplacer(
			"U_ID", strings.ReplaceAll(uid, "-", "_"), "UID", uid, "ID", proctest.ID(fmt.Sprintf("%x", i)), "NAME", fmt.Sprintf("web-%d", i),
		).Replace(text)
	}
	pid := func(i int) int { return 100 * (i + 1) }
	for i, c := range runtimesPaths {
		tree.Add(alone(pid(i), filled(i, c.cgroup)))
	}
	tree.Add(proctest.Process{PID: 50, PPID: 1, Cgroup: "0::/system.slice/sshd.service", NS: proctest.Node})

	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "standard error", o.errOut, "")
	want(t, "containers", len(s.Containers), len(runtimesPaths))
	want(t, "unshared", len(s.Unshared), 0)
	for i, c := range runtimesPaths {
		t.Run(c.what, func(t *testing.T) {
			id := "ID"
			if strings.Contains(c.cgroup, "NAME") {
				id = "NAME"
			}
			got := s.container(t, filled(i, id))
			want(t, "runtime", got.Runtime, c.runtime)
			line, _, _ := strings.Cut(filled(i, c.cgroup), "\n")
			_, path, _ := strings.Cut(line, ":/")
			want(t, "cgroup", got.Cgroup, "/"+path)
			want(t, "command", got.Command, "sleep")
			want(t, "levels", got.levels(), apart)
			want(t, "findings", got.kinds(), "")
			want(t, "inode", got.Axes["pid"].Inode, proctest.Pod(uint64(pid(i)), 1)[proctest.PID])
			if len(got.PIDs) != 1 || got.PIDs[0] != pid(i) {
				t.Errorf("processes: %v", got.PIDs)
			}
			if (got.Pod == nil) != (c.pod == "") || got.Pod != nil && got.Pod.UID != filled(i, c.pod) {
				t.Errorf("pod: %+v", got.Pod)
			}
		})
	}
}

func TestTellsTheNode(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "boot", s.Node.BootID, "11111111-2222-4333-8444-555555555555")
	want(t, "kernel", s.Node.KernelVersion, "6.18.0-test")
	want(t, "nested", s.Node.Nested, false)
	want(t, "axes", len(s.Node.Axes), 8)
	network := s.Node.Axes["network"]
	want(t, "witness", network.Witness, "pid1")
	want(t, "reason", network.Reason, "")
	if len(network.Inodes) != 1 || network.Inodes[0] != proctest.Node[proctest.Net] {
		t.Errorf("inodes: %v", network.Inodes)
	}
}

func TestSandboxesAreNoRows(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	pause := alone(300, podsGroup+proctest.ID("3")+".scope")
	app := proctest.Process{PID: 310, PPID: 1, Cgroup: podsGroup + proctest.ID("4") + ".scope", NS: proctest.Pod(300, 2)}
	tree.Add(pause, app)
	t.Run("by default", func(t *testing.T) {
		t.Parallel()
		s, _ := scanJSON(t, "--proc", tree.Root)
		want(t, "containers", len(s.Containers), 1)
		want(t, "levels", s.container(t, proctest.ID("4")).levels(), apart)
	})
	t.Run("unless asked for", func(t *testing.T) {
		t.Parallel()
		s, _ := scanJSON(t, "--proc", tree.Root, "--sandboxes")
		want(t, "containers", len(s.Containers), 2)
		c := s.container(t, proctest.ID("3"))
		want(t, "sandbox", c.Sandbox, true)
		want(t, "levels", strings.TrimSpace(c.levels()), "")
	})
}

func TestSaysSoIfThereAreNoContainers(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	o := run(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "standard output", o.out, "no containers\n")
	wantContains(t, "standard error", o.errOut, "no containers found: none of the 2 processes in "+tree.Root)
	s, _ := scanJSON(t, "--proc", tree.Root)
	if s.Containers == nil {
		t.Error("containers is null in JSON, want an empty list")
	}
}

func TestMachinesOfEveryRuntime(t *testing.T) {
	t.Parallel()
	for _, m := range proctest.Machines(t) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			s, o := scanJSON(t, "--proc", m.Tree.Root, "--sandboxes")
			want(t, "exit code", o.code, 0)
			want(t, "containers", len(s.Containers), len(m.Containers))
			for _, c := range m.Containers {
				got := s.container(t, c.ID)
				want(t, "runtime of "+c.ID, got.Runtime, c.Runtime)
				want(t, "sandbox "+c.ID, got.Sandbox, c.Sandbox)
				want(t, "findings of "+c.ID, got.kinds(), "")
				want(t, "processes of "+c.ID, fmt.Sprint(got.PIDs), fmt.Sprint(c.PIDs))
				if (got.Pod == nil) != (c.Pod == "") || got.Pod != nil && got.Pod.UID != c.Pod {
					t.Errorf("pod of %s: %+v, want %q", c.ID, got.Pod, c.Pod)
				}
			}
		})
	}
}
