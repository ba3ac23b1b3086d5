// SPDX-License-Identifier: Apache-2.0

//go:build linux

package procns

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sleepers is how many processes a look of the benchmarks sees, beside those of the machine.
const sleepers = 5000

// BenchmarkScan is a look as an agent takes it: the cgroup and the pid namespace of every process,
// and of every tenth – those in pods – stat and all links. Its cost over BenchmarkBareSyscalls is
// that of this package.
func BenchmarkScan(b *testing.B) {
	pids := sleep(b, sleepers)
	tree := openTree(b, "/proc")
	b.ReportAllocs()
	for b.Loop() {
		seen := map[int]bool{}
		all, err := tree.PIDs()
		if err != nil {
			b.Fatal(err)
		}
		for _, pid := range all {
			if scanOne(b, tree, pid) {
				seen[pid] = true
			}
		}
		for _, pid := range pids {
			if !seen[pid] {
				b.Fatalf("missed process %d", pid)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(pids)), "µs/process")
}

func scanOne(b *testing.B, tree *FS, pid int) bool {
	p, err := tree.Process(pid)
	if err != nil {
		return false
	}
	defer func() {
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}()
	if _, err := p.Cgroups(); err != nil {
		return false
	}
	_, err = p.Namespace(PID)
	if pid%10 == 0 {
		_, err = p.Stat()
		for _, link := range p.Namespaces() {
			if link.Err != nil {
				err = link.Err
			}
		}
	}
	return err == nil
}

// BenchmarkBareSyscalls makes the system calls that BenchmarkScan cannot do without, on paths that
// are ready, and looks at nothing that they give.
func BenchmarkBareSyscalls(b *testing.B) {
	pids := sleep(b, sleepers)
	root, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Close(root) }()
	buf := make([]byte, 32<<10)
	names := map[int]*byte{}
	cgroup, stat := cString("cgroup"), cString("stat")
	var links [NumKinds]*byte
	for k := range links {
		links[k] = cString(kindLinks[k])
	}
	readFile := func(dir int, name *byte) {
		fd := bareOpen(dir, name, unix.O_RDONLY|unix.O_CLOEXEC)
		_, _ = unix.Read(fd, buf)
		_ = unix.Close(fd)
	}
	b.ReportAllocs()
	for b.Loop() {
		all := bareList(b, root, buf)
		for _, pid := range all {
			name, ok := names[pid]
			if !ok {
				name = cString(strconv.Itoa(pid))
				names[pid] = name
			}
			dir := bareOpen(root, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
			if dir < 0 {
				continue
			}
			readFile(dir, cgroup)
			bareReadlink(dir, links[PID], buf)
			if pid%10 == 0 {
				readFile(dir, stat)
				for _, link := range links {
					bareReadlink(dir, link, buf)
				}
			}
			_ = unix.Close(dir)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(pids)), "µs/process")
}

// bareList lists the processes. It has to understand the listing, which is cheap.
func bareList(b *testing.B, root int, buf []byte) []int {
	if _, err := unix.Seek(root, 0, 0); err != nil {
		b.Fatal(err)
	}
	var all []int
	for {
		n, err := unix.Getdents(root, buf)
		if err != nil {
			b.Fatal(err)
		}
		if n == 0 {
			return all
		}
		if _, err := parseDirents(buf[:n], typeDirectory, func(pid int, _ uint64) bool {
			all = append(all, pid)
			return true
		}); err != nil {
			b.Fatal(err)
		}
	}
}

func bareOpen(dir int, name *byte, flags int) int {
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags), 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

func bareReadlink(dir int, name *byte, buf []byte) {
	_, _, _ = unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
}

func cString(s string) *byte {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return p
}

func BenchmarkPIDs(b *testing.B) {
	sleep(b, sleepers)
	tree := openTree(b, "/proc")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.PIDs(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	tree := openTree(b, "/proc")
	b.ReportAllocs()
	for b.Loop() {
		p, err := tree.Process(os.Getpid())
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCgroups(b *testing.B) { benchmarkRead(b, Process.Cgroups) }
func BenchmarkStat(b *testing.B)    { benchmarkRead(b, Process.Stat) }
func BenchmarkStatus(b *testing.B)  { benchmarkRead(b, Process.Status) }
func BenchmarkUIDMap(b *testing.B)  { benchmarkRead(b, Process.UIDMap) }
func BenchmarkNamespaces(b *testing.B) {
	benchmarkRead(b, func(p Process) (Namespaces, error) { return p.Namespaces(), nil })
}

func BenchmarkCwd(b *testing.B) { benchmarkRead(b, Process.Cwd) }

func BenchmarkOpenFiles(b *testing.B) {
	for range 100 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
	}
	benchmarkRead(b, func(p Process) (bool, error) {
		return p.OpenFiles(100, func(OpenFile) {})
	})
}

func benchmarkRead[T any](b *testing.B, read func(Process) (T, error)) {
	p := openProcess(b, openTree(b, "/proc"), os.Getpid())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := read(p); err != nil {
			b.Fatal(err)
		}
	}
}

// sleep makes processes that do nothing, and ends them with the benchmark.
func sleep(b *testing.B, count int) []int {
	b.Helper()
	if runtime.GOARCH == "s390x" {
		b.Skip("clone(2) takes its arguments in another order here")
	}
	runtime.LockOSThread() // PR_SET_PDEATHSIG speaks of the thread
	pids := make([]int, 0, count)
	b.Cleanup(func() {
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for _, pid := range pids {
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
		runtime.UnlockOSThread()
	})
	for range count {
		pid, errno := forkAndPause()
		if errno != 0 {
			b.Fatalf("fork: %v", errno)
		}
		pids = append(pids, pid)
	}
	return pids
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
