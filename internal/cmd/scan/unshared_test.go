// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

func TestKnowsProcessesThatAreUnshared(t *testing.T) {
	t.Parallel()
	const service = "0::/user.slice/session-1.scope"
	tree := proctest.New(t)
	add := func(pid int, ns proctest.Namespaces) {
		tree.Add(proctest.Process{PID: pid, PPID: 1, Cgroup: service, Comm: "sh", NS: ns})
	}
	add(50, proctest.Node)
	// unshare --fork --pid --net: unshare itself stays in the pid namespace of the machine.
	watched := proctest.Node.With(proctest.Net, 0xF1000001)
	add(100, watched)
	add(101, watched.With(proctest.PID, 0xF1000002))
	add(102, watched.With(proctest.PID, 0xF1000002).With(proctest.UTS, 0xF1000003))
	// ip netns exec, twice.
	blue := proctest.Node.With(proctest.Net, 0xF2000001)
	add(200, blue.With(proctest.Mnt, 0xF2000002))
	add(201, blue.With(proctest.Mnt, 0xF2000003))
	// A service with mounts of its own.
	add(300, proctest.Node.With(proctest.Mnt, 0xF3000001))
	// A daemon of which a thread is elsewhere for a while.
	tree.Add(proctest.Process{PID: 400, PPID: 1, Cgroup: service, Comm: "dockerd", NS: proctest.Node, Threads: []proctest.Process{
		{PID: 401, NS: proctest.Node.With(proctest.Net, 0xF4000001)},
	}})

	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "containers", len(s.Containers), 0)
	want(t, "groups", len(s.Unshared), 2)
	for i, c := range []struct {
		pids   []int
		levels string
	}{
		{[]int{101, 102}, "Container Pod Host Host Host Host Host Host"},
		{[]int{200, 201}, "Host Pod Host Host Container Host Host Host"},
	} {
		got := s.Unshared[i]
		if !slices.Equal(got.PIDs, c.pids) {
			t.Errorf("processes: %v, want %v", got.PIDs, c.pids)
		}
		want(t, "levels", got.Axes.levels(), c.levels)
		want(t, "command", got.Command, "sh")
	}
	want(t, "inode", s.Unshared[0].Axes["pid"].Inode, 0xF1000002)
	wantContains(t, "standard error", o.errOut, "1 group of processes outside of containers", "--services shows")

	t.Run("and services, if they are asked for", func(t *testing.T) {
		t.Parallel()
		s, o := scanJSON(t, "--proc", tree.Root, "--services")
		want(t, "groups", len(s.Unshared), 3)
		want(t, "levels", s.Unshared[2].Axes.levels(), "Host Host Host Host Container Host Host Host")
		want(t, "command", s.Unshared[2].Command, "sh")
		wantContains(t, "standard error", o.errOut, "no containers found")
	})
	t.Run("in rows of their own", func(t *testing.T) {
		t.Parallel()
		o := run(t, "--proc", tree.Root)
		wantContains(t, "standard output", o.out, "UNSHARED  PID ", "\n101 sh    Container  Pod ", "no containers; 2 groups of processes unshared")
	})
}

func TestAProcessThatEnteredAContainerIsNotItsOwn(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	tree.Add(
		alone(100, "0::/docker/"+proctest.ID("1")),
		// nsenter --net, from a shell of the machine.
		proctest.Process{PID: 300, PPID: 1, NS: proctest.Node.With(proctest.Net, proctest.Pod(100, 1)[proctest.Net])},
	)
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "findings", s.container(t, proctest.ID("1")).kinds(), "")
	want(t, "groups", len(s.Unshared), 1)
	want(t, "levels", s.Unshared[0].Axes.levels(), "Host Foreign Host Host Host Host Host Host")
}
