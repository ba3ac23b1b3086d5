// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Some tests need a process that does something special. It is the test binary again, told so by
// its environment.
const helperEnv = "PROCNS_TEST_HELPER"

var helpers = map[string]func() error{
	"leaderless": leaderless,
	"node":       node,
	"silent":     silent,
	"stacked":    stacked,
	"odd":        odd,
	"many":       many,
	"reader":     reader,
}

func init() {
	if os.Getenv(helperEnv) != "" {
		runtime.LockOSThread() // main runs on the first thread
	}
}

func TestMain(m *testing.M) {
	name := os.Getenv(helperEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := helpers[name](); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

func helper(name string) *exec.Cmd {
	command := exec.Command("/proc/self/exe", "-test.run=^$")
	command.Env = []string{helperEnv + "=" + name}
	command.Stderr = os.Stderr
	return command
}

// leaderless ends its first thread, as pthread_exit does in main, and lives on in another until its
// input ends.
func leaderless() error {
	go func() {
		runtime.LockOSThread()
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	time.Sleep(10 * time.Millisecond)
	_, _, errno := unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // the thread's, not exit_group
	return errno
}

func TestLeaderThatExited(t *testing.T) {
	tree := openProc(t)
	p := start(t, tree, helper("leaderless"))
	awaitState(t, p, 'Z')
	stat := must[Stat](t)(p.Stat())
	t.Run("shows as a zombie with threads", func(t *testing.T) {
		equal(t, stat.Exited(), true)
		if status := must[Status](t)(p.Status()); stat.NumThreads < 2 || status.Threads < 2 {
			t.Errorf("%d threads in stat, %d in status", stat.NumThreads, status.Threads)
		}
		_, err := p.Namespace(Net)
		is(t, err, ErrExited)
	})
	t.Run("has living threads that tell their namespaces", func(t *testing.T) {
		own := must[ID](t)(openProcess(t, tree, os.Getpid()).Namespace(Net))
		living := 0
		for _, tid := range must[[]int](t)(p.Threads()) {
			thread := must[Process](t)(p.Thread(tid))
			if id, err := thread.Namespace(Net); err == nil {
				equal(t, id, own)
				living++
			} else {
				equal(t, tid, p.PID)
			}
			if err := thread.Close(); err != nil {
				t.Error(err)
			}
		}
		equal(t, living > 0, true)
	})
}

func TestThreadInAnotherNamespace(t *testing.T) {
	tree := openProc(t)
	tid, done := make(chan int), make(chan struct{})
	defer close(done)
	var refused error
	var elsewhere func()
	elsewhere = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the first thread is to stay where it is
			defer runtime.UnlockOSThread()
			go elsewhere()
			<-done
			return
		}
		refused = unix.Unshare(unix.CLONE_NEWUTS) // never unlocked, so that the thread ends with this function
		tid <- unix.Gettid()
		<-done
	}
	go elsewhere()
	number := <-tid
	if refused != nil {
		t.Skipf("uid %d may not unshare one thread: %v", os.Geteuid(), refused)
	}
	p := openProcess(t, tree, os.Getpid())
	thread := must[Process](t)(p.Thread(number))
	defer func() { _ = thread.Close() }()
	own, other := p.Namespaces(), thread.Namespaces()
	for k := range Kind(NumKinds) {
		if same := own[k].ID == other[k].ID; same != (k != UTS) {
			t.Errorf("%v: process %v, thread %v", k, own[k], other[k])
		}
	}
	stat, status := must[Stat](t)(thread.Stat()), must[Status](t)(thread.Status())
	equal(t, []int{stat.PID, status.Tgid}, []int{number, os.Getpid()})
}

// seenNode is what the helper node saw from inside.
type seenNode struct {
	Nested  bool
	Witness [NumKinds]Witness
	Sets    [NumKinds][]ID
	Initial [NumKinds]ID
	PIDs    []int
}

// node is PID 1 of a node that is made of namespaces: it mounts its own /proc and tells what it
// sees there.
func node() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	tree, err := Open("/proc")
	if err != nil {
		return err
	}
	n := tree.NodeNamespaces()
	seen := seenNode{Nested: n.Nested, Initial: n.Initial}
	for k, set := range n.Sets {
		seen.Witness[k], seen.Sets[k] = set.Witness, set.IDs
	}
	if seen.PIDs, err = tree.PIDs(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		return err
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

func TestNodeMadeOfNamespaces(t *testing.T) {
	tree := openProc(t)
	command := helper("node")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: idMapping(os.Getuid()),
		GidMappings: idMapping(os.Getgid()),
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	outside := start(t, tree, command).Namespaces()
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Skipf("the node could not be made, see above: %v", err)
	}
	var seen seenNode
	if err := json.Unmarshal(line, &seen); err != nil {
		t.Fatal(err)
	}
	t.Run("is nested, and PID 1 tells its namespaces", func(t *testing.T) {
		equal(t, seen.Nested, true)
		equal(t, seen.PIDs, []int{1})
		for k := range Kind(NumKinds) {
			if errors.Is(outside[k].Err, ErrUnsupported) {
				continue
			}
			equal(t, seen.Witness[k], WitnessPID1)
			equal(t, seen.Sets[k], []ID{outside[k].ID})
		}
	})
	t.Run("knows the kernel's initial namespaces all the same", func(t *testing.T) {
		equal(t, seen.Initial[PID].Ino, initialInodes[PID])
	})
}

func TestNodeOfThisMachine(t *testing.T) {
	tree := openProc(t)
	n := tree.NodeNamespaces()
	own := openProcess(t, tree, os.Getpid()).Namespaces()
	for k, set := range n.Sets {
		t.Logf("%-6v nested=%v witness=%q ids=%v initial=%v err=%v own=%v",
			Kind(k), n.Nested, set.Witness, set.IDs, n.Initial[k], set.Err, own[k].ID)
		if (set.Err == nil) != (len(set.IDs) > 0) || (set.Err == nil) != (set.Witness != WitnessNone) {
			t.Errorf("%v: IDs, witness and error do not agree: %+v", Kind(k), set)
		}
		for _, id := range set.IDs {
			equal(t, id.Dev, tree.dev)
		}
	}
	t.Run("has a pid namespace that this process is in", func(t *testing.T) {
		if status := must[Status](t)(openProcess(t, tree, os.Getpid()).Status()); len(status.NSpid) > 1 {
			t.Skip("the tests run in another pid namespace than their /proc shows")
		}
		equal(t, n.Sets[PID].Has(own[PID].ID), true)
	})
}
