// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// These tests make containers of this machine's kernel, as docker does: processes in namespaces of
// their own, in a cgroup with docker's name.

// dockerCgroup makes the cgroup of a container and returns its folder and the container's ID.
func dockerCgroup(t *testing.T) (folder, id string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("uid %d may not make cgroups: run the tests as root", os.Geteuid())
	}
	root := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		root = "/sys/fs/cgroup"
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		t.Skipf("no cgroup hierarchy is mounted in /sys/fs/cgroup: %v", err)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	id = hex.EncodeToString(random)
	parent := filepath.Join(root, "docker")
	switch err := os.Mkdir(parent, 0o755); {
	case err == nil:
		t.Cleanup(func() { _ = os.Remove(parent) }) // unless another test's is in it
	case !errors.Is(err, fs.ErrExist):
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	folder = filepath.Join(parent, id)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	})
	return folder, id
}

// start runs a process in a cgroup, in new namespaces, until the test ends.
func start(t *testing.T, cgroup string, flags uintptr) int {
	t.Helper()
	// cat waits for input that does not come.
	command := exec.Command("cat")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Skipf("a process in namespaces of its own cannot be made: %v", err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	pid := command.Process.Pid
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Skipf("a process cannot be moved to a cgroup: %v", err)
	}
	return pid
}

const isolated = syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS

func TestRealContainers(t *testing.T) {
	cgroup, good := dockerCgroup(t)
	first := start(t, cgroup, isolated)
	other, bad := dockerCgroup(t)
	start(t, other, isolated)
	intruder := start(t, other, isolated&^syscall.CLONE_NEWNET)

	s, o := scanJSON(t)
	want(t, "exit code", o.code, 1)
	t.Run("that are isolated are told so", func(t *testing.T) {
		c := s.container(t, good)
		want(t, "runtime", c.Runtime, "docker")
		for axis, level := range map[string]string{"pid": "Container", "network": "Pod", "ipc": "Pod", "uts": "Pod", "mount": "Container", "user": "Host"} {
			want(t, axis, c.Axes[axis].Level, level)
		}
		want(t, "findings", c.kinds(), "")
		if len(c.PIDs) != 1 || c.PIDs[0] != first {
			t.Errorf("processes %v, want %d", c.PIDs, first)
		}
		var link bytes.Buffer
		link.WriteString("net:[" + strconv.FormatUint(c.Axes["network"].Inode, 10) + "]")
		text, err := os.Readlink("/proc/" + strconv.Itoa(first) + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		want(t, "inode", link.String(), text)
	})
	t.Run("of which a process is in the machine's network have an escape", func(t *testing.T) {
		c := s.container(t, bad)
		want(t, "level", c.Axes["network"].Level, "Host")
		if len(c.Findings) == 0 || c.Findings[0].Kind != "Escape" || c.Findings[0].Axis != "network" || c.Findings[0].PID != intruder {
			t.Errorf("findings: %+v", c.Findings)
		}
	})
	t.Run("are shown in the table", func(t *testing.T) {
		o := run(t)
		wantContains(t, "standard output", o.out, good[:12], bad[:12], "Escape")
	})
}
