// SPDX-License-Identifier: Apache-2.0

package procns

import (
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

	"golang.org/x/sys/unix"
)

// These tests read the kernel that they run on. They pass as root and as any user, and say what
// they skip.

func openProc(t testing.TB) *FS { return openTree(t, "/proc") }

func TestOwnProcess(t *testing.T) {
	tree := openProc(t)
	p := openProcess(t, tree, os.Getpid())
	t.Run("is listed", func(t *testing.T) {
		equal(t, slices.Contains(must[[]int](t)(tree.PIDs()), os.Getpid()), true)
	})
	t.Run("has the stat that the system calls tell", func(t *testing.T) {
		stat := must[Stat](t)(p.Stat())
		equal(t, []int{stat.PID, stat.PPID}, []int{os.Getpid(), os.Getppid()})
		equal(t, stat.KernelThread() || stat.Exited(), false)
		if n := len(must[[]int](t)(p.Threads())); stat.NumThreads < 2 || n < 2 {
			t.Errorf("NumThreads %d, %d listed", stat.NumThreads, n)
		}
		age := time.Since(stat.Started(must[time.Time](t)(tree.BootTime())))
		if age < -2*time.Second || age > time.Hour {
			t.Errorf("started %v ago", age)
		}
	})
	t.Run("has the status that the system calls tell", func(t *testing.T) {
		status := must[Status](t)(p.Status())
		equal(t, []int{status.Tgid, status.PPid, status.NSpid[0]}, []int{os.Getpid(), os.Getppid(), os.Getpid()})
		equal(t, []int{int(status.Uid[0]), int(status.Uid[1]), int(status.Gid[1])}, []int{os.Getuid(), os.Geteuid(), os.Getegid()})
		var groups []int
		for _, group := range status.Groups {
			groups = append(groups, int(group))
		}
		equal(t, slices.Equal(groups, slices.Sorted(slices.Values(must[[]int](t)(os.Getgroups())))), true)
		var caps [2]unix.CapUserData
		if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]); err != nil {
			t.Fatal(err)
		}
		equal(t, status.CapEff, uint64(caps[1].Effective)<<32|uint64(caps[0].Effective))
		equal(t, status.CapPrm, uint64(caps[1].Permitted)<<32|uint64(caps[0].Permitted))
		if status.Kthread != nil {
			equal(t, *status.Kthread, false)
		}
	})
	t.Run("is in the namespaces that stat tells, all on one device", func(t *testing.T) {
		for k, link := range p.Namespaces() {
			if errors.Is(link.Err, ErrUnsupported) {
				continue
			}
			var st unix.Stat_t
			if err := unix.Stat("/proc/self/ns/"+Kind(k).String(), &st); err != nil {
				t.Fatal(err)
			}
			dev := uint64(st.Dev) //nolint:unconvert // 32 bits wide on some architectures
			equal(t, link, Link{ID: ID{Dev: dev, Ino: st.Ino}})
		}
	})
	t.Run("has cgroups and maps", func(t *testing.T) {
		must[Cgroups](t)(p.Cgroups())
		equal(t, len(must[IDMap](t)(p.UIDMap())) > 0, true)
		equal(t, len(must[IDMap](t)(p.GIDMap())) > 0, true)
	})
}

func TestKernelOfThisMachine(t *testing.T) {
	tree := openProc(t)
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	equal(t, must[string](t)(tree.KernelRelease()), unix.ByteSliceToString(name.Release[:]))
	equal(t, len(must[string](t)(tree.BootID())), 36)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	boot := time.Now().Add(-time.Duration(now.Nano()))
	if off := boot.Sub(must[time.Time](t)(tree.BootTime())).Abs(); off > 2*time.Second {
		t.Errorf("boot time is off by %v", off)
	}
}

func TestClockTicks(t *testing.T) {
	output, err := exec.Command("getconf", "CLK_TCK").Output()
	if err != nil {
		t.Skipf("no getconf to ask: %v", err)
	}
	equal(t, string(output), strconv.FormatUint(ClockTicks(), 10)+"\n")
}

// Of a file that procfs makes of one record one read gives all: that readRecord rests on.
func TestOneReadGivesAFileOfOneRecordWhole(t *testing.T) {
	tree := openProc(t)
	buf, files := make([]byte, cgroupLimit), 0
	for _, pid := range must[[]int](t)(tree.PIDs()) {
		for _, name := range []string{cgroupFile, statFile, statusFile} {
			fd, err := openFile(tree.fd, strconv.Itoa(pid)+"/"+name)
			if err != nil {
				continue // gone, or hidden
			}
			first, err := read(fd, buf)
			if err == nil && first > 0 {
				files++
				if more, err := read(fd, buf); more != 0 || err != nil {
					t.Errorf("process %d: %s gives %d bytes, then %d and %v", pid, name, first, more, err)
				}
			}
			if err := closeFD(fd); err != nil {
				t.Error(err)
			}
		}
	}
	if files < 3 {
		t.Errorf("%d files were read, and this process alone has 3", files)
	}
}

func TestReadsOfARecord(t *testing.T) {
	// More than there is room for at first, of plain files as of a procfs.
	text := "0::/" + strings.Repeat("x", 3*fileBuffer) + "\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, cgroupFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, room := range map[string]bool{"to their end": false, "until there is room": true} {
		t.Run("go on "+name, func(t *testing.T) {
			tree := &FS{file: make([]byte, fileBuffer)}
			fd := must[int](t)(openRoot(dir))
			defer func() { _ = closeFD(fd) }()
			for range 2 { // the second time there is room at once
				equal(t, string(must[[]byte](t)(tree.readUntil(fd, cgroupFile, cgroupLimit, room))), text)
			}
			_, err := tree.readUntil(fd, cgroupFile, len(text)-1, room)
			is(t, err, ErrTooLong)
		})
	}
}

func TestEveryProcess(t *testing.T) {
	t.Run("is read, or is gone, or refuses", func(t *testing.T) {
		tree := openProc(t)
		_, err := os.ReadFile("/proc/1/stat")
		hidden := err != nil
		for _, pid := range must[[]int](t)(tree.PIDs()) {
			p, err := tree.Process(pid)
			if err != nil {
				is(t, err, ErrGone)
				continue
			}
			for i, err := range readAll(p) {
				// A zombie has given up its mounts and its files. The link and the open files alone need a permission – and everything where /proc is
				// mounted with hidepid.
				refused := errors.Is(err, fs.ErrPermission) && (i >= 7 || hidden)
				if err != nil && !refused && !errors.Is(err, ErrGone) && !errors.Is(err, ErrExited) {
					t.Errorf("process %d: %v", pid, err)
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestKernelThread(t *testing.T) {
	tree := openProc(t)
	p, err := tree.Process(2)
	if err != nil {
		t.Skipf("no process 2 in this /proc: %v", err)
	}
	defer func() { _ = p.Close() }()
	stat, err := p.Stat()
	if err != nil {
		t.Skipf("this /proc hides processes (hidepid): %v", err)
	}
	if !stat.KernelThread() {
		t.Skipf("no kernel threads in this /proc: process 2 is %q", stat.Comm)
	}
	t.Run("is told by stat and by status alike", func(t *testing.T) {
		equal(t, stat.Comm, "kthreadd")
		if status := must[Status](t)(p.Status()); status.Kthread != nil {
			equal(t, *status.Kthread, true)
		}
	})
	t.Run("is in the namespaces whose numbers the kernel reserves", func(t *testing.T) {
		newInodes := reservesNetAndMnt(must[string](t)(tree.KernelRelease()))
		for k, link := range p.Namespaces() {
			if errors.Is(link.Err, fs.ErrPermission) {
				t.Skipf("kthreadd's links may not be read by uid %d", os.Geteuid())
			}
			if errors.Is(link.Err, ErrUnsupported) || !newInodes && (Kind(k) == Net || Kind(k) == Mnt) {
				continue
			}
			equal(t, link, Link{ID: ID{Dev: tree.dev, Ino: initialInodes[k]}})
		}
	})
}

func TestRefusal(t *testing.T) {
	tree := openProc(t)
	for _, pid := range must[[]int](t)(tree.PIDs()) {
		p, err := tree.Process(pid)
		if err != nil {
			continue
		}
		links := p.Namespaces()
		_ = p.Close()
		if err := links[Net].Err; errors.Is(err, fs.ErrPermission) {
			is(t, err, nil)
			fails(t, err, "readlink /proc/"+strconv.Itoa(pid)+"/ns/net: ")
			return
		}
	}
	t.Skip("nothing on this machine refuses its links")
}

// start starts a command that lives until the test ends, and opens it.
func start(t testing.TB, tree *FS, command *exec.Cmd) Process {
	t.Helper()
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Skipf("cannot start %v (user namespaces may be refused here): %v", command, err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return openProcess(t, tree, command.Process.Pid)
}

func TestChildInNamespacesOfItsOwn(t *testing.T) {
	tree := openProc(t)
	command := exec.Command("cat")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
			unix.CLONE_NEWUTS | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
		UidMappings: idMapping(os.Getuid()),
		GidMappings: idMapping(os.Getgid()),
	}
	child := start(t, tree, command)
	own := openProcess(t, tree, os.Getpid()).Namespaces()
	t.Run("differs in every namespace but time", func(t *testing.T) {
		links := child.Namespaces()
		for k := range Kind(NumKinds) {
			if links[k].Err != nil && !errors.Is(links[k].Err, ErrUnsupported) {
				t.Error(links[k].Err)
			} else if same := links[k].ID == own[k].ID; same != (k == Time) {
				t.Errorf("%v: child %v, own %v", k, links[k], own[k])
			}
		}
	})
	t.Run("has a number in each of two pid namespaces", func(t *testing.T) {
		equal(t, must[Status](t)(child.Status()).NSpid, []int{child.PID, 1})
	})
	t.Run("has a map that holds one user", func(t *testing.T) {
		ids := must[IDMap](t)(child.UIDMap())
		equal(t, ids, IDMap{{0, uint32(os.Getuid()), 1}})
		equal(t, ids.ContainsOutside(0), os.Getuid() == 0)
		equal(t, ids.ContainsOutside(uint32(os.Getuid())), true)
	})
}

// idMapping makes one ID outside root inside.
func idMapping(outside int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{HostID: outside, Size: 1}}
}

func TestZombieAndVanished(t *testing.T) {
	tree := openProc(t)
	command := exec.Command("true")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := openProcess(t, tree, command.Process.Pid)
	awaitState(t, p, 'Z')
	t.Run("a zombie is told by its state, and its links say that it has exited", func(t *testing.T) {
		stat := must[Stat](t)(p.Stat())
		equal(t, stat.Exited(), true)
		equal(t, stat.NumThreads, 1)
		for k, link := range p.Namespaces() {
			if Kind(k) == PID || Kind(k) == User {
				equal(t, link.Err, nil)
			} else if !errors.Is(link.Err, ErrUnsupported) {
				is(t, link.Err, ErrExited)
			}
		}
		must[Status](t)(p.Status())
		must[Cgroups](t)(p.Cgroups())
		for _, err := range readGivenUp(p) {
			is(t, err, ErrExited)
		}
	})
	thread := must[Process](t)(p.Thread(p.PID))
	defer func() { _ = thread.Close() }()
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Run("a reaped process is gone for every file and link", func(t *testing.T) {
		for _, handle := range []Process{p, thread} {
			for _, err := range slices.Concat(readAll(handle), readGivenUp(handle)) {
				is(t, err, ErrGone)
			}
			for _, link := range handle.Namespaces() {
				is(t, link.Err, ErrGone)
			}
		}
		_, err := p.Thread(p.PID)
		is(t, err, ErrGone)
		_, err = tree.Process(p.PID)
		is(t, err, ErrGone)
	})
}

func awaitState(t *testing.T, p Process, state byte) {
	t.Helper()
	for range 1000 {
		if must[Stat](t)(p.Stat()).State == state {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%v is not in state %c after 10 seconds", p, state)
}

// TestVanishing reads processes that end meanwhile: never may one that ends look like one that
// refuses, or like one whose kernel lacks something.
func TestVanishing(t *testing.T) {
	tree := openProc(t)
	own := openProcess(t, tree, os.Getpid()).Namespaces()
	outcomes := map[string]int{}
	for range 200 {
		command := exec.Command("true")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := tree.Process(command.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			_ = command.Wait()
		}()
		for gone := false; !gone; {
			links := p.Namespaces()
			for k, link := range links {
				switch {
				case errors.Is(own[k].Err, ErrUnsupported):
				case link.Err == nil:
					outcomes["read"]++
				case errors.Is(link.Err, ErrGone):
					outcomes["gone"]++
					gone = true
				case errors.Is(link.Err, ErrExited):
					outcomes["exited"]++
				default:
					t.Fatal(link.Err)
				}
			}
			for _, err := range slices.Concat(readAll(p), readGivenUp(p)) {
				if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrExited) {
					t.Fatal(err)
				}
			}
		}
		<-waited
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(outcomes)
}

func TestReusedNumber(t *testing.T) {
	tree := openProc(t)
	command := exec.Command("true")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	old := openProcess(t, tree, command.Process.Pid)
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		last := []byte(strconv.Itoa(old.PID - 1))
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", last, 0); err != nil {
			t.Skipf("may not choose the next process's number: %v", err)
		}
		successor := exec.Command("cat")
		p := start(t, tree, successor)
		if successor.Process.Pid != old.PID {
			continue // somebody else was faster
		}
		t.Run("an old handle does not read the successor", func(t *testing.T) {
			equal(t, must[Stat](t)(p.Stat()).PID, old.PID)
			for _, err := range readAll(old) {
				is(t, err, ErrGone)
			}
		})
		return
	}
	t.Skip("the number was not given again")
}

func TestPipeInsteadOfFile(t *testing.T) {
	t.Run("does not wait for the writer of a pipe", func(t *testing.T) {
		root := t.TempDir()
		dir := filepath.Join(root, "5")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(filepath.Join(dir, statFile), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openProcess(t, openTree(t, root), 5).Stat()
		fails(t, err, "truncated")
	})
}
