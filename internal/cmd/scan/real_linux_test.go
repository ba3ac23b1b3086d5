// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

// These tests make containers of this machine's kernel, as docker does: processes in namespaces of
// their own, in a cgroup with docker's name.

// dockerCgroup makes the cgroup of a container and returns its folder and the container's ID.
func dockerCgroup(t *testing.T) (folder, id string) {
	t.Helper()
	id = randomID()
	return cgroup(t, "docker/"+id), id
}

func randomID() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// cgroup makes the cgroup of that path, until the test ends.
func cgroup(t *testing.T, path string) (folder string) {
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
	folder = root
	for _, name := range strings.Split(path, "/") {
		folder = filepath.Join(folder, name)
		made := folder
		switch err := os.Mkdir(made, 0o755); {
		case err == nil:
			t.Cleanup(func() { _ = os.Remove(made) }) // unless another test's is in it
		case !errors.Is(err, fs.ErrExist):
			t.Skipf("a cgroup cannot be made: %v", err)
		}
	}
	return folder
}

// start runs a process in a cgroup, in new namespaces, until the test ends; no cgroup means that of the
// test.
func start(t *testing.T, cgroup string, flags uintptr) int {
	t.Helper()
	// cat waits for input that does not come.
	return startWith(t, cgroup, exec.Command("cat"), &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL})
}

// startUnshared has a user run a process in namespaces as that user can make them.
func startUnshared(t *testing.T, cgroup string, uid uint32) int {
	t.Helper()
	pid := startWith(t, cgroup, exec.Command("unshare", "--user", "--map-root-user", "--net", "--uts", "--ipc", "--mount", "cat"),
		&syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uid, Gid: uid}})
	if !becomesCat(t, pid) {
		t.Skip("this kernel lets no ordinary user make user namespaces")
	}
	return pid
}

// becomesCat waits until a process that prepares itself is cat; false if it ended before.
func becomesCat(t *testing.T, pid int) bool {
	t.Helper()
	for {
		name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
		switch {
		case err != nil:
			t.Fatal(err)
		case string(name) == "cat\n":
			return true
		}
		time.Sleep(time.Millisecond) // it has not got there yet
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "Z") {
			return false
		}
	}
}

func startWith(t *testing.T, cgroup string, command *exec.Cmd, attributes *syscall.SysProcAttr) int {
	t.Helper()
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.SysProcAttr = attributes
	if err := command.Start(); err != nil {
		t.Skipf("a process in namespaces of its own cannot be made: %v", err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	pid := command.Process.Pid
	if cgroup == "" {
		return pid
	}
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

func TestRealCgroupsOfEveryRuntime(t *testing.T) {
	const uid = "6a3cd1cd-1f5c-4b0e-8e0b-3d4d1f9d5e11"
	type made struct{ name, runtime, pod string }
	wanted := make(map[string]made)
	for _, c := range []struct{ path, name, runtime, pod string }{
		{"docker/ID", "ID", "docker", ""},
		{"system.slice/docker-ID.scope", "ID", "docker", ""},
		{"machine.slice/libpod-ID.scope/container", "ID", "podman", ""},
		{"system.slice/nerdctl-ID.scope", "ID", "containerd", ""},
		{"lxc.payload.bulkhead-test-web", "bulkhead-test-web", "lxc", ""},
		{"kubepods/burstable/pod" + uid + "/ID", "ID", "", uid},
	} {
		id := randomID()
		folder := cgroup(t, "bulkhead-test-scan/"+strings.ReplaceAll(c.path, "ID", id))
		start(t, folder, isolated)
		wanted[c.path] = made{strings.ReplaceAll(c.name, "ID", id), c.runtime, c.pod}
	}
	unshared := start(t, "", isolated)

	s, _ := scanJSON(t)
	for path, w := range wanted {
		t.Run(path, func(t *testing.T) {
			c := s.container(t, w.name)
			want(t, "runtime", c.Runtime, w.runtime)
			want(t, "network", c.Axes["network"].Level, "Pod")
			want(t, "pid", c.Axes["pid"].Level, "Container")
			want(t, "command", c.Command, "cat")
			wantContains(t, "cgroup", c.Cgroup, "/bulkhead-test-scan/")
			if (c.Pod == nil) != (w.pod == "") || c.Pod != nil && c.Pod.UID != w.pod {
				t.Errorf("pod: %+v", c.Pod)
			}
		})
	}
	t.Run("and a process that is unshared and in none", func(t *testing.T) {
		for _, u := range s.Unshared {
			if slices.Contains(u.PIDs, unshared) {
				want(t, "levels", u.Axes.levels(), "Container Pod Pod Pod Container Host Host Host")
				return
			}
		}
		t.Errorf("process %d is not among %+v", unshared, s.Unshared)
	})
}

func TestRealContainersWithVeryManyMounts(t *testing.T) {
	whole, long := randomID(), randomID()
	for id, hundreds := range map[string]int{whole: 200, long: 301} {
		folder := cgroup(t, "docker/"+id)
		proctest.InManyMounts(t, hundreds, "", func() {
			startWith(t, folder, exec.Command("cat"), &syscall.SysProcAttr{Cloneflags: isolated &^ syscall.CLONE_NEWNS})
		})
	}
	s, _ := scanJSON(t)
	for id, name := range map[string]string{whole: "are read", long: "are unverified beyond what is read of anyone"} {
		t.Run(name, func(t *testing.T) {
			c := s.container(t, id)
			want(t, "levels", c.levels(), "Container Pod Pod Pod Container Host Host Host")
			for _, f := range c.Findings {
				if id == whole || f.Kind != "Unverified" || !strings.Contains(f.Message, "there are too many") {
					t.Errorf("finding: %+v", f)
				}
			}
			want(t, "unverified", len(c.Findings) > 0, id == long)
		})
	}
}

// Who enters a container from outside, as a CNI plugin or somebody with nsenter does, is told as information: nobody promised
// anything about it, and it is no finding of the container either.
func TestARealProcessOfTheMachineInAContainersNetwork(t *testing.T) {
	folder, id := dockerCgroup(t)
	first := start(t, folder, isolated)
	entered := startWith(t, "", exec.Command("nsenter", "--net=/proc/"+strconv.Itoa(first)+"/ns/net", "cat"), &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})
	if !becomesCat(t, entered) {
		t.Skip("nsenter may not enter a network namespace here")
	}
	s, _ := scanJSON(t)
	c := s.container(t, id)
	want(t, "level of the container", c.Axes["network"].Level, "Pod")
	want(t, "findings of the container", c.kinds(), "")
	for _, u := range s.Unshared {
		if slices.Contains(u.PIDs, entered) {
			want(t, "levels", u.Axes.levels(), "Host Foreign Host Host Host Host Host Host")
			want(t, "inode", u.Axes["network"].Inode, c.Axes["network"].Inode)
			return
		}
	}
	t.Errorf("process %d is not among %+v", entered, s.Unshared)
}

func TestARealProcessThatLeftItsContainersCgroup(t *testing.T) {
	folder, id := dockerCgroup(t)
	// It starts its child when it is told that it is in the container's cgroup.
	command := exec.Command("sh", "-c", "read inside <&3; sleep 1000 & echo $!; wait")
	told, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(told.Close(), tell.Close()) }()
	command.ExtraFiles = []*os.File{told}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	first := startWith(t, folder, command, &syscall.SysProcAttr{Cloneflags: isolated &^ syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL, Setsid: true})
	if _, err := tell.WriteString("inside\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	if err := os.WriteFile(filepath.Join(folder, "..", "..", "cgroup.procs"), []byte(strconv.Itoa(child)), 0); err != nil {
		t.Skipf("a process cannot be moved to a cgroup: %v", err)
	}
	s, o := scanJSON(t)
	want(t, "exit code", o.code, 1)
	c := s.container(t, id)
	if len(c.Findings) == 0 || c.Findings[0].Kind != "Escape" || c.Findings[0].Axis != "" || c.Findings[0].PID != child {
		t.Fatalf("findings of the container of process %d, which process %d left: %+v", first, child, c.Findings)
	}
	wide := run(t, "-o", "wide")
	wantContains(t, "the wide table", wide.out, "has left its cgroup", "cat /proc/"+strconv.Itoa(child)+"/cgroup")
}
