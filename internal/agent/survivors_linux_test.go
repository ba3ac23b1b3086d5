// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// leaderless ends the first thread once it is told to by a line, and lives on in others until its input ends.
func leaderless() {
	told := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		_, _ = os.Stdin.Read(make([]byte, 3))
		close(told)
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	fmt.Println("ready")
	<-told
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // the thread's, not exit_group
}

// restless is leaderless, and has threads of which each starts the next one and ends.
func restless() {
	var next func()
	next = func() {
		runtime.LockOSThread() // so that the thread ends with what runs on it
		time.Sleep(time.Millisecond)
		go next()
	}
	go next()
	leaderless()
}

// opened opens a helper.
func opened(t *testing.T, w *witness, pid int) procns.Process {
	t.Helper()
	p, err := w.fs.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// awaitAnother waits until a process has a thread that it had not when it was called.
func awaitAnother(t *testing.T, p procns.Process) {
	t.Helper()
	known, err := p.Threads()
	if err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		tids, err := p.Threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, tid := range tids {
			if !slices.Contains(known, tid) {
				return
			}
		}
	}
	t.Fatal("it makes no threads")
}

func TestSurvivors(t *testing.T) {
	w := realWitness(t)
	t.Run("of a process that has threads", func(t *testing.T) {
		pid, shown := helper(t, "sleep", 0, ""), 0
		if err := survivors(opened(t, w, pid), func(thread procns.Process) survivor {
			if shown++; thread.PID == pid {
				t.Error("its first thread is shown")
			}
			return survivor(max(0, 2-shown)) // the second one is taken
		}); err != nil || shown != 2 {
			t.Errorf("%v after %d", err, shown)
		}
	})
	t.Run("of one whose threads end, and that makes no others", func(t *testing.T) {
		if err := survivors(opened(t, w, helper(t, "sleep", 0, "")), func(procns.Process) survivor { return lost }); !errors.Is(err, procns.ErrGone) {
			t.Error(err)
		}
	})
	t.Run("of one that always has others", func(t *testing.T) {
		p := opened(t, w, helper(t, "restless", 0, ""))
		if err := survivors(p, func(procns.Process) survivor {
			awaitAnother(t, p)
			return lost
		}); !errors.Is(err, errRestless) {
			t.Error(err)
		}
	})
}

// A process goes on after its first thread has ended, so it was not seen to end by that.
func TestARealContainerWhoseFirstThreadEndsWhileItIsLookedAt(t *testing.T) {
	cgroup := cgroupOf(t, proctest.ID("a"))
	first, end := obedient(t, "leaderless", cgroup)
	second, endSecond := obedient(t, "leaderless", cgroup)
	w := realWitness(t)
	w.Looker = NewLooker(w.fs, pods{granted()}, LookerOptions{Inspect: time.Second})
	seen := closeLook(t, w, end, endSecond)
	if seen.Unread != "" || len(seen.Processes) != 2 {
		t.Fatalf("%+v", seen)
	}
	for i, pid := range []int{first, second} {
		if p := &seen.Processes[i]; p.PID != pid || p.TID == 0 || p.TID == pid || p.Capabilities == 0 {
			t.Errorf("%+v", p)
		}
	}
}

// Who has threads that end while they are read is not read for ever, nor taken to have ended.
func TestARealProcessWhoseThreadsEndWhileTheyAreRead(t *testing.T) {
	pid, end := obedient(t, "restless", cgroupOf(t, proctest.ID("a")))
	end()
	w := realWitness(t)
	look, err := w.Look(w.now, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range look.Containers {
		first := look.Containers[i].First()
		if first == nil || first.PID != pid {
			continue
		}
		tries, p := 0, opened(t, w, pid)
		if err := w.patiently(first, func(procns.Process) error {
			awaitAnother(t, p)
			tries++
			return procns.ErrExited
		}); !errors.Is(err, errRestless) || tries > maxTries {
			t.Errorf("%v after %d", err, tries)
		}
		return
	}
	t.Error("it was not seen")
}

// A thread that is elsewhere than its process may have started after it.
func TestARealThreadElsewhereIsLookedAtClosely(t *testing.T) {
	helper(t, "thread", own, cgroupOf(t, proctest.ID("a")))
	w := realWitness(t)
	w.Looker = NewLooker(w.fs, pods{granted()}, LookerOptions{Inspect: time.Second})
	seen := closeLook(t, w)
	if len(seen.Processes) < 2 || seen.Processes[1].TID == 0 || seen.Processes[1].StartTime == seen.Processes[0].StartTime || seen.Processes[1].Capabilities == 0 {
		t.Errorf("%+v", seen.Processes)
	}
}

// obedient starts a helper in namespaces of its own that does what it is told to when end is called, and waits until its first
// thread has ended.
func obedient(t *testing.T, what, cgroup string) (pid int, end func()) {
	t.Helper()
	cmd := helperCommand(what, own)
	in, out := begin(t, cmd)
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	pid = cmd.Process.Pid
	move(t, pid, cgroup)
	return pid, func() {
		t.Helper()
		if _, err := in.Write([]byte("go\n")); err != nil {
			t.Fatal(err)
		}
		for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(text), ") Z ") {
				return
			}
		}
		t.Fatal("its first thread does not end")
	}
}
