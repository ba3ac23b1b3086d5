// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// statMount gives a mount ID as statx(2) does.
func statMount(t *testing.T, path string) int {
	t.Helper()
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		t.Skipf("statx does not tell mount IDs (since 5.8): %v", err)
	}
	return int(st.Mnt_id)
}

func TestOwnFiles(t *testing.T) {
	p := openProcess(t, openProc(t), os.Getpid())
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(path string, flags int) int {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	asDirectory, asFile := open(dir, unix.O_RDONLY|unix.O_DIRECTORY), open(dir, unix.O_RDONLY)
	asPlace, regular := open(dir, unix.O_PATH), open(file, unix.O_WRONLY)
	found := map[int]OpenFile{}
	if _, err := p.OpenFiles(1<<20, func(f OpenFile) { found[f.FD] = f }); err != nil {
		t.Fatal(err)
	}
	t.Run("have the mount and inode that the system calls tell", func(t *testing.T) {
		for fd, path := range map[int]string{asDirectory: dir, asFile: dir, asPlace: dir, regular: file} {
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			if inode := found[fd].Inode; inode != 0 {
				equal(t, inode, st.Ino)
			}
			equal(t, found[fd].MountID, statMount(t, path))
		}
	})
	t.Run("show how they were opened", func(t *testing.T) {
		for fd, want := range map[int][2]bool{asDirectory: {true, false}, asFile: {false, false}, asPlace: {false, true}, regular: {false, false}} {
			equal(t, [2]bool{found[fd].Directory(), found[fd].PathOnly()}, want)
		}
	})
	t.Run("are told to be directories however they were opened", func(t *testing.T) {
		for fd, want := range map[int]Place{asDirectory: {Path: dir, Directory: true}, asFile: {Path: dir, Directory: true},
			asPlace: {Path: dir, Directory: true}, regular: {Path: file}} {
			want.MountID = found[fd].MountID
			equal(t, must[Place](t)(p.FilePlace(fd)), want)
		}
	})
	t.Run("are said not to be open when they are not", func(t *testing.T) {
		_, err := p.FilePlace(1 << 20)
		is(t, err, ErrNotOpen)
		fails(t, err, "/fd/1048576")
	})
	t.Run("are left out beyond the limit, the highest numbers first", func(t *testing.T) {
		files, more := openFiles(t, p, 3)
		equal(t, []any{files[0].FD, files[1].FD, files[2].FD, more}, []any{0, 1, 2, true})
	})
}

func TestOwnPlaces(t *testing.T) {
	p := openProcess(t, openProc(t), os.Getpid())
	wd := must[string](t)(os.Getwd())
	equal(t, must[Place](t)(p.Cwd()), Place{MountID: statMount(t, "."), Path: wd, Directory: true})
	equal(t, must[Place](t)(p.Root()), Place{MountID: statMount(t, "/"), Path: "/", Directory: true})
	t.Run("are on a mount of the table, with the device that stat tells", func(t *testing.T) {
		var st unix.Stat_t
		if err := unix.Stat(".", &st); err != nil {
			t.Fatal(err)
		}
		dev := uint64(st.Dev) //nolint:unconvert // 32 bits wide on some architectures
		for _, mount := range mounts(t, p) {
			if mount.ID == statMount(t, ".") {
				equal(t, []uint32{mount.Major, mount.Minor}, []uint32{unix.Major(dev), unix.Minor(dev)})
				return
			}
		}
		t.Error("the mount is not in the table")
	})
	t.Run("are refused in a tree that does not show the reader", func(t *testing.T) {
		_, err := openProcess(t, openFixture(t, bareV2), 1300).Cwd()
		fails(t, err, "does not show the reader", "bare-v2-systemd/1300/cwd")
	})
}

// startMounting starts a helper in a mount namespace of its own, in a user namespace if need be, and
// gives it with its first line of output.
func startMounting(t testing.TB, tree *FS, name, dir string) (*exec.Cmd, Process, string) {
	t.Helper()
	command := helper(name)
	command.Env = append(command.Env, helperDir+"="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Getuid() != 0 {
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, tree, command)
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Skipf("the mounts could not be made, see above: %v", err)
	}
	return command, p, strings.TrimSuffix(line, "\n")
}

// helperDir is the directory in which a helper may mount.
const helperDir = "PROCNS_TEST_DIR"

// mounting makes an empty filesystem in the helper's directory, in which the rest of it happens, and
// what it does the current directory.
func mounting() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	dir := os.Getenv(helperDir)
	if err := unix.Mount("base", dir, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return os.Chdir(dir)
}

// ready says so, with a text for the test, and waits for its end.
func ready(text string) error {
	fmt.Println(text)
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// silent is in a filesystem that never answers. It gets there without a question: pivot_root(2)
// moves the root and the current directory of processes, and looks only at mounts.
func silent() error {
	if err := mounting(); err != nil {
		return err
	}
	if err := os.Mkdir("silent", 0o700); err != nil {
		return err
	}
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device)
	if err := unix.Mount("source", "silent", "fuse.silent", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount fuse: %w", err)
	}
	handle, err := unix.Open("silent", unix.O_PATH, 0)
	if err != nil {
		return err
	}
	dir := filepath.Join(os.Getenv(helperDir), "silent")
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.PivotRoot(dir, dir); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	return ready(strconv.Itoa(handle))
}

func TestFilesystemThatNeverAnswers(t *testing.T) {
	_, p, line := startMounting(t, openProc(t), "silent", t.TempDir())
	handle := must[int](t)(strconv.Atoi(line))
	done := make(chan error, 1)
	go func() { // the control: it ends when the helper does
		_, err := os.Stat("/proc/" + strconv.Itoa(p.PID) + "/cwd")
		done <- err
	}()
	select {
	case err := <-done:
		t.Skipf("a stat does not wait here: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	var cwd, root, file Place
	var all []Mount
	finished := make(chan error, 1)
	go func() {
		var errs [5]error
		cwd, errs[0] = p.Cwd()
		root, errs[1] = p.Root()
		file, errs[2] = p.FilePlace(handle)
		_, errs[3] = p.OpenFiles(100, func(OpenFile) {})
		errs[4] = p.Mounts(func(m Mount) bool { all = append(all, m); return true })
		finished <- errors.Join(errs[:]...)
	}()
	select {
	case err := <-finished:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("waits for the filesystem")
	}
	t.Run("shows the places in it", func(t *testing.T) {
		mount := all[0]
		for _, m := range all {
			if m.FSType == "fuse.silent" {
				mount = m
			}
		}
		equal(t, []string{mount.FSType, mount.Point, mount.Source}, []string{"fuse.silent", "/", "source"})
		for _, place := range []Place{cwd, root, file} {
			equal(t, []any{place.MountID, place.Directory}, []any{mount.ID, true})
		}
	})
	t.Run("refuses statx even the mount, or makes it wait", func(t *testing.T) {
		t.Log(statxOf(p, handle))
	})
}

// statxOf asks for the mount alone and with as little as possible.
func statxOf(p Process, fd int) string {
	answer := make(chan string, 1)
	go func() {
		place, err := unix.Openat(p.fd, "fd/"+strconv.Itoa(fd), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = unix.Close(place) }()
		var st unix.Statx_t
		err = unix.Statx(place, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
		answer <- fmt.Sprint("statx: mount ", st.Mnt_id, ", error ", err)
	}()
	select {
	case text := <-answer:
		return text
	case <-time.After(time.Second):
		return "statx waits"
	}
}

// stacked mounts one over another: late over base, early – which was made before – over late, and
// beneath – which was made last – between base and upper.
func stacked() error {
	const moveBeneath = 0x200 // MOVE_MOUNT_BENEATH
	if err := mounting(); err != nil {
		return err
	}
	for _, dir := range []string{"early", "beneath", "x", "y"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	attach := func(fd int, to string, flags int) error {
		return unix.MoveMount(fd, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH|flags)
	}
	early, err := unix.OpenTree(unix.AT_FDCWD, "early", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	if err := unix.Mount("late", "x", "tmpfs", 0, ""); err != nil {
		return err
	}
	if err := attach(early, "x", 0); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	if err := unix.Mount("upper", "y", "tmpfs", 0, ""); err != nil {
		return err
	}
	beneath, err := unix.OpenTree(unix.AT_FDCWD, "beneath", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	if err := attach(beneath, "y", moveBeneath); err != nil {
		return fmt.Errorf("move_mount beneath: %w", err)
	}
	return ready("")
}

func TestStackedMounts(t *testing.T) {
	dir := t.TempDir()
	_, p, _ := startMounting(t, openProc(t), "stacked", dir)
	at := map[string]int{} // where each is in the table, by source or root
	all := mounts(t, p)
	for i, m := range all {
		switch {
		case m.Root == "/early" || m.Root == "/beneath":
			at[m.Root[1:]] = i
		case m.Source == "base" || m.Source == "late" || m.Source == "upper":
			at[m.Source] = i
		}
	}
	covers := func(above, below string) bool {
		a, b := all[at[above]], all[at[below]]
		return a.Parent == b.ID && a.Point == b.Point
	}
	t.Run("cover each other by parent and point", func(t *testing.T) {
		equal(t, covers("early", "late"), true)
		equal(t, covers("upper", "beneath"), true)
		equal(t, covers("late", "early") || covers("beneath", "upper"), false)
		equal(t, all[at["late"]].Parent, all[at["base"]].ID)
		equal(t, all[at["beneath"]].Parent, all[at["base"]].ID)
	})
	t.Run("are in no order that tells", func(t *testing.T) {
		t.Logf("places in the table: %v", at)
		if !(at["upper"] < at["beneath"]) {
			t.Error("what covers comes after what is covered, even here")
		}
	})
}

// seenFiles is what the helper reader could read, by the names of the methods.
type seenFiles map[string]string

// reader reads another process with few capabilities, those that its directory's name says.
func reader() error {
	var pid int
	var capabilities uint32
	if _, err := fmt.Sscan(os.Getenv(helperDir), &pid, &capabilities); err != nil {
		return err
	}
	data := [2]unix.CapUserData{{Effective: capabilities, Permitted: capabilities}}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	tree, err := Open("/proc")
	if err != nil {
		return err
	}
	p, err := tree.Process(pid)
	if err != nil {
		return err
	}
	seen := seenFiles{}
	say := func(name string, err error) {
		switch {
		case err == nil:
			seen[name] = "read"
		case errors.Is(err, fs.ErrPermission):
			seen[name] = "refused"
		default:
			seen[name] = err.Error()
		}
	}
	_, err = p.Namespace(Net)
	say("Namespace", err)
	say("Mounts", p.Mounts(func(Mount) bool { return true }))
	_, err = p.OpenFiles(10, func(OpenFile) {})
	say("OpenFiles", err)
	_, err = p.Cwd()
	say("Cwd", err)
	_, err = p.Root()
	say("Root", err)
	_, err = p.FilePlace(0)
	say("FilePlace", err)
	return json.NewEncoder(os.Stdout).Encode(seen)
}

func TestReadingAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to start processes of other users")
	}
	tree := openProc(t)
	command := exec.Command("cat")
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	target := start(t, tree, command)
	read := func(t *testing.T, capabilities uint32) seenFiles {
		t.Helper()
		command := helper("reader")
		command.Env = append(command.Env, fmt.Sprintf("%s=%d %d", helperDir, target.PID, capabilities))
		output, err := command.Output()
		if err != nil {
			t.Skipf("the reader could not read, see above: %v", err)
		}
		seen := seenFiles{}
		if err := json.Unmarshal(output, &seen); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d/fdinfo", target.PID))
	if err != nil {
		t.Fatal(err)
	}
	files := "read"
	if info.Mode().Perm() == 0o500 { // before 5.14
		files = "refused"
	}
	t.Run("without capabilities shows mounts only", func(t *testing.T) {
		equal(t, read(t, 0), seenFiles{"Namespace": "refused", "Mounts": "read", "OpenFiles": "refused",
			"Cwd": "refused", "Root": "refused", "FilePlace": "refused"})
	})
	t.Run("with CAP_SYS_PTRACE shows all but the places of open files", func(t *testing.T) {
		equal(t, read(t, 1<<unix.CAP_SYS_PTRACE), seenFiles{"Namespace": "read", "Mounts": "read", "OpenFiles": files,
			"Cwd": "read", "Root": "read", "FilePlace": "refused"})
	})
	t.Run("with CAP_DAC_READ_SEARCH too shows everything", func(t *testing.T) {
		equal(t, read(t, 1<<unix.CAP_SYS_PTRACE|1<<unix.CAP_DAC_READ_SEARCH), seenFiles{"Namespace": "read",
			"Mounts": "read", "OpenFiles": "read", "Cwd": "read", "Root": "read", "FilePlace": "read"})
	})
}
