// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// node are the processes that a benchmark looks at.
type node struct {
	inPod map[int]bool
}

func podUID(p int) string      { return fmt.Sprintf("00000000-0000-4000-8000-%012x", p) }
func containerID(p int) string { return fmt.Sprintf("%064x", p+1) }

// populate makes processes that do nothing, puts some into cgroups as a kubelet makes them, and
// ends them with the benchmark. Cgroups need root.
func populate(b *testing.B) *node {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("only root can make cgroups")
	}
	if runtime.GOARCH == "s390x" {
		b.Skip("clone(2) takes its arguments in another order here")
	}
	top := makeGroups(b)
	runtime.LockOSThread() // PR_SET_PDEATHSIG speaks of the thread
	n := &node{inPod: make(map[int]bool, contained)}
	all := make([]int, 0, processes)
	// Cleanups run last first: the cgroups are empty when they are removed.
	b.Cleanup(func() {
		for _, pid := range all {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for _, pid := range all {
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
		runtime.UnlockOSThread()
	})
	for i := range processes {
		pid, errno := forkAndPause()
		if errno != 0 {
			b.Fatalf("fork: %v", errno)
		}
		all = append(all, pid)
		if i%(processes/contained) != 0 {
			continue
		}
		n.inPod[pid] = true
		pod := len(n.inPod) % pods
		file := filepath.Join(top, "kubepods", "besteffort", "pod"+podUID(pod), containerID(pod), "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

// makeGroups makes the cgroups of the pods where they can be made, and removes them with the
// benchmark. The first hierarchy that will do is taken.
func makeGroups(b *testing.B) string {
	b.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		b.Fatal(err)
	}
	var failed error
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if fields[2] != "cgroup2" && (fields[2] != "cgroup" || !strings.Contains(fields[3], "pids")) {
			continue
		}
		top := filepath.Join(fields[1], benchGroups)
		b.Cleanup(func() { removeGroups(b, top) })
		err := func() error {
			for p := range pods {
				if err := os.MkdirAll(filepath.Join(top, "kubepods", "besteffort", "pod"+podUID(p), containerID(p)), 0o755); err != nil {
					return err
				}
			}
			return nil
		}()
		if err == nil {
			return top
		}
		failed = errors.Join(failed, err)
	}
	b.Skipf("no cgroup hierarchy in which cgroups can be made: %v", failed)
	return ""
}

// removeGroups removes cgroups from the bottom up. One that was just emptied may be busy for a moment.
func removeGroups(b *testing.B, top string) {
	var dirs []string
	_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		var err error
		for range 100 {
			if err = unix.Rmdir(dirs[i]); !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			b.Errorf("remove cgroup %s: %v", dirs[i], err)
		}
	}
}

// forkAndPause forks without exec, which a Go program must not do – unless the child makes nothing
// but raw system calls, as here. It costs a fraction of the memory and time of 5,000 programs.
//
//go:norace
func forkAndPause() (int, unix.Errno) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid), errno
	}
	_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
	for {
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// bare makes system calls and nothing else.
type bare struct {
	root         int
	buf          []byte
	names        map[int]*byte
	glances      map[int]*byte
	cgroup, stat *byte
	links        [8]*byte
}

func newBare(root int) *bare {
	p := &bare{root: root, buf: make([]byte, 32<<10), names: make(map[int]*byte), glances: make(map[int]*byte), cgroup: cString("cgroup"), stat: cString("stat")}
	for i, kind := range [8]string{"pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time"} {
		p.links[i] = cString("ns/" + kind)
	}
	return p
}

func (p *bare) look(inPod map[int]bool, everybody bool) {
	for _, pid := range p.list() {
		name, ok := p.names[pid]
		if !ok {
			name = cString(strconv.Itoa(pid))
			p.names[pid], p.glances[pid] = name, cString(strconv.Itoa(pid)+"/ns/pid")
		}
		if !everybody && !inPod[pid] {
			p.readlink(p.root, p.glances[pid])
			continue
		}
		dir := open(p.root, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
		if dir < 0 {
			continue
		}
		p.read(dir, p.cgroup)
		p.readlink(dir, p.links[0])
		if inPod[pid] {
			p.read(dir, p.stat)
			for _, link := range p.links[1:] {
				p.readlink(dir, link)
			}
		}
		_ = unix.Close(dir)
	}
}

// list lists the processes. It has to understand the listing, which is cheap.
func (p *bare) list() []int {
	_, _ = unix.Seek(p.root, 0, 0)
	var all []int
	for {
		n, err := unix.Getdents(p.root, p.buf)
		if err != nil || n == 0 {
			return all
		}
		for rest := p.buf[:n]; len(rest) > 0; {
			length := binary.NativeEndian.Uint16(rest[16:])
			name := rest[19:length]
			rest = rest[length:]
			pid := 0
			for _, c := range name {
				if c < '0' || c > '9' {
					if c != 0 {
						pid = 0
					}
					break
				}
				pid = 10*pid + int(c-'0')
			}
			if pid > 0 {
				all = append(all, pid)
			}
		}
	}
}

// read reads a file of one record, which one read gives whole.
func (p *bare) read(dir int, name *byte) {
	fd := open(dir, name, unix.O_RDONLY|unix.O_CLOEXEC)
	_, _ = unix.Read(fd, p.buf)
	_ = unix.Close(fd)
}

func (p *bare) readlink(dir int, name *byte) {
	_, _, _ = unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&p.buf[0])), uintptr(len(p.buf)), 0, 0)
}

func open(dir int, name *byte, flags int) int {
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags), 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

func cString(s string) *byte {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return p
}
