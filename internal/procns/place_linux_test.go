// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
func startMounting(t testing.TB, tree *FS, name, dir string) (Process, string) {
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
	return p, strings.TrimSuffix(line, "\n")
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

// silent is in a filesystem that never answers, of the user that its directory's name says. It gets there without a question: pivot_root(2)
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
	user := filepath.Base(os.Getenv(helperDir))
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%s,group_id=%s", device, user, user)
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
	for name, user := range map[string]string{"of the reader": "0", "of another user": "65534"} {
		t.Run(name, func(t *testing.T) {
			if user != "0" && os.Getuid() != 0 {
				t.Skip("needs root, to mount for another user")
			}
			dir := filepath.Join(t.TempDir(), user)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			p, line := startMounting(t, openProc(t), "silent", dir)
			stat := make(chan error, 1)
			go func() { // ends when the helper does
				_, err := os.Stat("/proc/" + strconv.Itoa(p.PID) + "/cwd")
				stat <- err
			}()
			select {
			case err := <-stat: // a FUSE answers nobody but its user
				equal(t, []bool{user != "0", errors.Is(err, fs.ErrPermission)}, []bool{true, true})
			case <-time.After(200 * time.Millisecond):
				equal(t, user, "0")
			}
			showsSilentPlaces(t, p, must[int](t)(strconv.Atoi(line)))
		})
	}
}

func showsSilentPlaces(t *testing.T, p Process, handle int) {
	var places [3]Place
	var all []Mount
	finished := make(chan error, 1)
	go func() {
		var errs [5]error
		places[0], errs[0] = p.Cwd()
		places[1], errs[1] = p.Root()
		places[2], errs[2] = p.FilePlace(handle)
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
	mount := all[slices.IndexFunc(all, func(m Mount) bool { return m.FSType == "fuse.silent" })]
	equal(t, []string{mount.Point, mount.Source}, []string{"/", "source"})
	for _, place := range places {
		equal(t, []any{place.MountID, place.Directory}, []any{mount.ID, true})
	}
}

// readGivenUp reads what a task gives up when it exits, beside links, and gives the errors.
func readGivenUp(p Process) []error {
	mounts := p.Mounts(func(Mount) bool { return true })
	_, files := p.OpenFiles(100, func(OpenFile) {})
	_, cwd := p.Cwd()
	_, root := p.Root()
	_, file := p.FilePlace(0)
	return []error{mounts, files, cwd, root, file}
}
