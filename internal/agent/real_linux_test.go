// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// helperEnv makes the test binary a process that does nothing, or that does what it names.
const helperEnv = "AGENT_TEST_HELPER"

func init() {
	if os.Getenv(helperEnv) != "" {
		runtime.LockOSThread() // main stays on the first thread, whose rights are the process's
	}
}

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "confined":
		confined()
	case "report":
		report()
	case "visitor":
		visitor()
	case "leaderless":
		leaderless()
	case "restless":
		restless()
	case "thread":
		// One thread goes elsewhere and stays there.
		go func() {
			runtime.LockOSThread()
			time.Sleep(20 * time.Millisecond) // the kernel's clock for this, /proc/PID/stat's, ticks every 10
			if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			fmt.Println("ready")
			select {}
		}()
	default:
		fmt.Println("ready")
	}
	// Until the test ends, or closes standard input.
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// own are the kinds of namespaces that a runtime makes for a container.
const own = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// helper starts a process in namespaces of its own, moves it into the cgroup if there is one, and
// ends it with the test.
func helper(t *testing.T, what string, flags uintptr, cgroup string) int {
	t.Helper()
	return started(t, helperCommand(what, flags), cgroup)
}

func helperCommand(what string, flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{helperEnv + "=" + what}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return cmd
}

// shellIn starts a shell that is in the cgroup before it does what the script says: that it does when proceed is called, which
// waits until it has said something. It can read until the test ends.
func shellIn(t *testing.T, cgroup string, attr *syscall.SysProcAttr, script string, args ...string) (pid int, proceed func()) {
	t.Helper()
	shell := exec.Command("sh", append([]string{"-c", "read go; " + script}, args...)...)
	shell.SysProcAttr = attr
	in, out := begin(t, shell)
	t.Cleanup(func() {
		_ = in.Close() // then it ends what it has started
		_ = out.Close()
		_ = shell.Wait()
	})
	move(t, shell.Process.Pid, cgroup)
	return shell.Process.Pid, func() {
		t.Helper()
		if _, err := in.Write([]byte("go\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
}

// move puts a process into a cgroup.
func move(t *testing.T, pid int, cgroup string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
}

// begin starts a command in namespaces of its own, and skips the test where it may not.
func begin(t *testing.T, cmd *exec.Cmd) (in io.WriteCloser, out io.ReadCloser) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			t.Skipf("uid %d may not make namespaces: %v", os.Geteuid(), err)
		}
		t.Fatal(err)
	}
	return in, out
}

// started starts a helper, and returns its number once it is ready.
func started(t *testing.T, cmd *exec.Cmd, cgroup string) int {
	t.Helper()
	cmd.Stderr = os.Stderr
	in, out := begin(t, cmd)
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatalf("the helper did not start: %v", err)
	}
	if cgroup != "" {
		move(t, cmd.Process.Pid, cgroup)
	}
	return cmd.Process.Pid
}

// inPIDNamespaceOf starts a process in another's pid namespace and otherwise where the test is, as
// nsenter --pid does.
func inPIDNamespaceOf(t *testing.T, pid int) int {
	t.Helper()
	started := make(chan int, 1)
	go func() {
		defer close(started)
		// Never unlocked, so that the thread ends here: setns changes where its children go.
		runtime.LockOSThread()
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = ns.Close() }()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID); err != nil {
			t.Errorf("enter the pid namespace of %d: %v", pid, err)
			return
		}
		started <- helper(t, "sleep", 0, "")
	}()
	entered, ok := <-started
	if !ok {
		t.FailNow()
	}
	return entered
}

// cgroupOf makes the cgroup of a container of a pod, below one of the test's own, in the first
// hierarchy that will do.
func cgroupOf(t *testing.T, id string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make cgroups")
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if fields[2] != "cgroup2" && (fields[2] != "cgroup" || !strings.Contains(fields[3], "pids")) {
			continue
		}
		folder, err := cgroupBelow(t, fields[1], filepath.Join("kubepods", "pod"+uid, id))
		if err == nil {
			return folder
		}
		failed = errors.Join(failed, err)
	}
	t.Skipf("no hierarchy in which cgroups can be made: %v", failed)
	return ""
}

// cgroupBelow makes a cgroup of that path, below one of the test's own in a hierarchy, until the test ends.
func cgroupBelow(t *testing.T, hierarchy, path string) (folder string, err error) {
	t.Helper()
	folder = filepath.Join(hierarchy, "bulkhead-test-"+strconv.Itoa(os.Getpid()))
	var made []string
	for _, name := range append([]string{""}, strings.Split(path, "/")...) {
		folder = filepath.Join(folder, name)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		made = append(made, folder)
	}
	t.Cleanup(func() {
		for _, dir := range slices.Backward(made) {
			if below, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs")); len(below) > 0 {
				break // another cgroup of the test is there, and takes this one with it
			}
			// A cgroup that was just emptied is busy for a moment.
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
					break
				}
			}
		}
	})
	return folder, nil
}

// realWitness is a witness of this machine, for one pod.
func realWitness(t *testing.T) *witness {
	t.Helper()
	tree, err := procns.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	w := &witness{
		Looker: NewLooker(tree, pods{web()}, LookerOptions{}),
		t:      t, tracker: isolation.NewTracker(nil), now: start,
	}
	if _, err := w.Look(w.now, false); err != nil {
		t.Fatal(err)
	}
	for _, p := range w.Problems() {
		if !p.Refused() {
			t.Skipf("this machine does not let itself be looked at: %s", p.Message)
		}
	}
	return w
}

// ofWeb are the processes of the test's container and what was found of it.
func ofWeb(o isolation.Observation) (pids []int, findings map[string]*isolation.Finding) {
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Name == "app" {
			for j := range c.Processes {
				pids = append(pids, c.Processes[j].PID)
			}
		}
	}
	findings = make(map[string]*isolation.Finding)
	for i := range o.Findings {
		if f := &o.Findings[i]; f.Pod.Name == "web" {
			findings[string(f.Kind)+" "+f.Axis] = f
		}
	}
	return pids, findings
}

func names(findings map[string]*isolation.Finding) []string {
	var out []string
	for name := range findings {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestARealContainer(t *testing.T) {
	cgroup := cgroupOf(t, proctest.ID("a"))
	first := helper(t, "sleep", own, cgroup)
	w := realWitness(t)
	pids, findings := ofWeb(w.settled())
	same(t, pids, []int{first})
	same(t, names(findings), []string(nil))

	t.Run("that a process left for the node's namespaces", func(t *testing.T) {
		out := helper(t, "sleep", 0, cgroup)
		w.look(time.Second)
		pids, findings := ofWeb(w.look(2 * time.Second))
		same(t, pids, ascending(first, out))
		same(t, names(findings), []string{"Escape ipc", "Escape mount", "Escape network", "Escape pid", "Escape uts"})
		if f := findings["Escape mount"]; f != nil {
			same(t, []int{f.Evidence.PID}, []int{out})
			same(t, f.Evidence.Owner, "node")
		}
	})
	t.Run("in whose pid namespace a process is, from no cgroup of any container", func(t *testing.T) {
		in := inPIDNamespaceOf(t, first)
		w.look(time.Second)
		pids, findings := ofWeb(w.look(2 * time.Second))
		same(t, pids, ascending(first, in))
		same(t, names(findings), []string{"Escape ipc", "Escape mount", "Escape network", "Escape uts"})
	})
	t.Run("in which a process makes namespaces for itself, which is fine", func(t *testing.T) {
		w.look(time.Second)
		nested := helper(t, "sleep", own, cgroup)
		w.look(2 * time.Second)
		pids, findings := ofWeb(w.look(2 * time.Second))
		same(t, pids, ascending(first, nested))
		same(t, names(findings), []string(nil))
	})
	t.Run("one thread of which went elsewhere, below its own, which is fine", func(t *testing.T) {
		threaded := helper(t, "thread", own, cgroup)
		w.look(time.Second)
		pids, findings := ofWeb(w.look(2 * time.Second))
		// Threads that Go's runtime starts from that one are where it is.
		same(t, slices.Compact(slices.Clone(pids)), ascending(first, threaded))
		if len(pids) < 3 {
			t.Errorf("the thread was not read: %v", pids)
		}
		same(t, names(findings), []string(nil))
	})
}

// ascending are the pids as looks list them: numbers begin again when all were used.
func ascending(pids ...int) []int {
	slices.Sort(pids)
	return pids
}
