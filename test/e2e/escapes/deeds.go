// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deeds are what can be done, by their names. Each ends with the process, which stays until it is killed.
var deeds map[string]func(args []string) error

func init() {
	deeds = map[string]func([]string) error{
		"enter": enter, "thread": thread, "leaderless": leaderless, "fork": fork, "join": join, "pid": pidOf, "nest": nest, "rename": rename, "hold": hold, "brief": brief,
		"bomb": bomb, "zygote": zygote, "renderer": renderer,
	}
}

func names() []string {
	var out []string
	for name := range deeds {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// The flags of setns(2) by the names of links.
var flags = map[string]int{
	"mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "pid": unix.CLONE_NEWPID,
}

// setns moves this thread.
func setns(pid, kind string) error {
	ns, err := os.Open("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	if kind == "mnt" {
		// The threads of a process share their root and working directory, unless they ask for their own.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
	}
	if err := unix.Setns(int(ns.Fd()), flags[kind]); err != nil {
		return fmt.Errorf("enter the %s namespace of %s: %w", kind, pid, err)
	}
	return nil
}

func stay() error {
	for {
		time.Sleep(time.Hour)
	}
}

// enter PID KIND: a process goes where another one is.
func enter(args []string) error {
	runtime.LockOSThread()
	if len(args) != 2 {
		return errors.New("enter PID KIND")
	}
	if err := setns(args[0], args[1]); err != nil {
		return err
	}
	// The other threads are where the process started: one that started from here is not.
	return run("/proc/self/exe", "hold")
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// hold: a process that does nothing.
func hold([]string) error { return stay() }

// away sends one thread to where another process is, and leaves it there.
func away(args []string) error {
	went := make(chan error)
	go func() {
		runtime.LockOSThread()
		went <- setns(args[0], args[1])
		select {}
	}()
	return <-went
}

// thread PID KIND: one thread goes there.
func thread(args []string) error {
	if err := away(args); err != nil {
		return err
	}
	return stay()
}

// leaderless PID KIND: one thread goes there, and the process's first thread ends.
func leaderless(args []string) error {
	if err := away(args); err != nil {
		return err
	}
	go func() { _ = stay() }()
	// main runs on the first thread, which init locked.
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	return errors.New("the first thread did not end")
}

func init() { runtime.LockOSThread() }

// fork PID KIND: processes that go there, each for a moment.
func fork(args []string) error {
	runtime.LockOSThread()
	if err := setns(args[0], args[1]); err != nil {
		return err
	}
	for {
		// Only the children are seen to be elsewhere: this thread is gone the next moment.
		if err := run("/proc/self/exe", "brief"); err != nil {
			return err
		}
	}
}

// brief: a process that ends soon.
func brief([]string) error { time.Sleep(300 * time.Millisecond); return nil }

// bomb [PID KIND]: as many processes as there may be, each for a moment; there, if that is given.
func bomb(args []string) error {
	debug.SetGCPercent(-1)
	threadsInStock()
	if len(args) == 2 {
		if err := setns(args[0], args[1]); err != nil {
			return err
		}
	}
	attr := &syscall.ProcAttr{Env: os.Environ()}
	for {
		if _, err := syscall.ForkExec(shell, []string{"sh", "-c", "sleep 1 & sleep 1 & wait"}, attr); err != nil {
			time.Sleep(time.Millisecond) // there are as many as there may be
		}
		for ended := 1; ended > 0; {
			ended, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}

// threadsInStock makes more threads than this program ever uses at once. A limit of processes is one of threads, too,
// and the Go runtime dies if it is refused one; those that are idle it keeps and takes first.
func threadsInStock() {
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			// Each in a system call at the same time, which takes a thread.
			t := unix.NsecToTimespec((500 * time.Millisecond).Nanoseconds())
			_ = unix.Nanosleep(&t, nil)
		})
	}
	all.Wait()
}

// shell is one in the image of the tests.
const shell = "/bin/sh"

// rename PID KIND: a process with a hostile name goes there.
func rename(args []string) error {
	name := []byte("a\n\x1b[2J\x1b]0;\x00")
	if err := os.WriteFile("/proc/self/comm", name[:len(name)-1], 0); err != nil {
		return err
	}
	if err := setns(args[0], args[1]); err != nil {
		return err
	}
	return stay()
}

// pidOf ID: prints the number of a container's first process.
func pidOf(args []string) error {
	pids, err := contained(args[0])
	if err != nil {
		return err
	}
	fmt.Println(pids[0])
	return nil
}

// contained are the processes whose cgroup names the container, the oldest number first.
func contained(id string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if text, err := os.ReadFile("/proc/" + e.Name() + "/cgroup"); err == nil && strings.Contains(string(text), id) {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("no process is in a cgroup of container %s", id)
	}
	slices.Sort(pids)
	return pids, nil
}

// join ID [COMMAND...]: this process goes into the cgroups of a container, and is what it was otherwise.
func join(args []string) error {
	pids, err := contained(args[0])
	if err != nil {
		return err
	}
	if err := into(pids[0], ""); err != nil {
		return err
	}
	return then(args[1:])
}

// nest ID NAME [COMMAND...]: the same, into a cgroup that it makes below.
func nest(args []string) error {
	pids, err := contained(args[0])
	if err != nil {
		return err
	}
	if err := into(pids[0], args[1]); err != nil {
		return err
	}
	return then(args[2:])
}

func then(command []string) error {
	if len(command) == 0 {
		return stay()
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, command, os.Environ())
}

// into moves this process into every cgroup of another one, or one below with that name.
func into(pid int, below string) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	moved := 0
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		dir := hierarchy(string(mounts), parts[1])
		if dir == "" {
			continue
		}
		at := dir + parts[2]
		if below != "" {
			at += "/" + below
			if err := os.MkdirAll(at, 0o755); err != nil {
				continue
			}
		}
		// 0 is the process that writes, whatever its number is in which namespace.
		if err := os.WriteFile(at+"/cgroup.procs", []byte("0"), 0); err == nil {
			moved++
		}
	}
	if moved == 0 {
		return fmt.Errorf("no cgroup of process %d could be joined", pid)
	}
	return nil
}

// hierarchy is where the hierarchy of these controllers is mounted, and what of it; empty if it is not.
func hierarchy(mounts, controllers string) string {
	for line := range strings.Lines(mounts) {
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		if !ok {
			continue
		}
		fields, super := strings.Fields(head), strings.Fields(tail)
		switch {
		case fields[3] != "/":
		case controllers == "" && super[0] == "cgroup2":
			return fields[4]
		case controllers != "" && super[0] == "cgroup" && hasAll(super[len(super)-1], controllers):
			return fields[4]
		}
	}
	return ""
}

func hasAll(options, controllers string) bool {
	for _, c := range strings.Split(controllers, ",") {
		if !slices.Contains(strings.Split(options, ","), c) {
			return false
		}
	}
	return true
}
