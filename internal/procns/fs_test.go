// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	t.Run("refuses a directory that is no proc tree and says what to do", func(t *testing.T) {
		_, err := Open(filepath.Join("testdata", notAProc))
		fails(t, err, notAProc, "mount -t proc")
	})
	t.Run("refuses a path that is not there", func(t *testing.T) {
		_, err := Open("testdata/nowhere")
		fails(t, err, "testdata/nowhere", "name the directory")
		equal(t, errors.Is(err, fs.ErrNotExist), true)
	})
	t.Run("refuses a file", func(t *testing.T) {
		_, err := Open("fs_test.go")
		fails(t, err, "fs_test.go", "not a directory")
	})
}

func TestPIDs(t *testing.T) {
	t.Run("lists processes in ascending order and nothing else", func(t *testing.T) {
		equal(t, must[[]int](t)(openFixture(t, bareV2).PIDs()), []int{1, 2, 30, 900, 1200, 1300})
	})
	t.Run("skips files, links and names that only look like numbers", func(t *testing.T) {
		equal(t, must[[]int](t)(openFixture(t, hostile).PIDs()), []int{10, 11, 12, 13, 14, 16})
	})
	t.Run("lists again", func(t *testing.T) {
		tree := openFixture(t, bareV2)
		equal(t, must[[]int](t)(tree.PIDs()), must[[]int](t)(tree.PIDs()))
	})
	t.Run("lists more than a buffer holds", func(t *testing.T) {
		root, want := t.TempDir(), make([]int, 0, 3000)
		for pid := 1; pid <= 3000; pid++ {
			want = append(want, pid)
			if err := os.Mkdir(filepath.Join(root, strconv.Itoa(pid)), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, must[[]int](t)(openTree(t, root).PIDs()), want)
	})
}

func TestProcess(t *testing.T) {
	t.Run("says that there is no such process", func(t *testing.T) {
		_, err := openFixture(t, bareV2).Process(77)
		is(t, err, ErrGone)
		fails(t, err, "bare-v2-systemd/77")
	})
	t.Run("says that there is no such thread", func(t *testing.T) {
		_, err := openProcess(t, openFixture(t, bareV2), 1300).Thread(1302)
		is(t, err, ErrGone)
		fails(t, err, "bare-v2-systemd/1300/task/1302")
	})
	t.Run("refuses numbers that are no process's", func(t *testing.T) {
		for _, pid := range []int{0, -1} {
			_, err := openFixture(t, bareV2).Process(pid)
			fails(t, err, "not a process number")
		}
	})
	t.Run("does not follow a link instead of a directory", func(t *testing.T) {
		_, err := openFixture(t, hostile).Process(18)
		fails(t, err, "hostile/18")
		is(t, err, nil)
	})
	t.Run("says of every file that the process is gone", func(t *testing.T) {
		p := openProcess(t, openFixture(t, hostile), 16)
		for _, err := range readAll(p) {
			is(t, err, ErrGone)
		}
	})
	t.Run("says that the kernel lacks a file of a process that lives", func(t *testing.T) {
		_, err := openProcess(t, openFixture(t, hostile), 13).UIDMap()
		is(t, err, ErrUnsupported)
	})
	t.Run("refuses every file that is cut off", func(t *testing.T) {
		for _, err := range readAll(openProcess(t, openFixture(t, hostile), 11))[:6] {
			fails(t, err, "hostile/11/")
			is(t, err, nil)
		}
	})
}

// readAll reads every file of a process and gives the errors.
func readAll(p Process) []error {
	_, stat := p.Stat()
	_, status := p.Status()
	_, cgroups := p.Cgroups()
	_, uids := p.UIDMap()
	_, gids := p.GIDMap()
	mounts := p.Mounts(func(Mount) bool { return true })
	_, threads := p.Threads()
	_, link := p.Namespace(PID)
	_, files := p.OpenFiles(100, func(OpenFile) {})
	return []error{stat, status, cgroups, uids, gids, mounts, threads, link, files}
}

func TestLimits(t *testing.T) {
	write := func(t *testing.T, name, text string) Process {
		root := t.TempDir()
		dir := filepath.Join(root, "5")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{statFile: statLine("x"), name: text} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return openProcess(t, openTree(t, root), 5)
	}
	cgroup := func(length int) string { return "0::/" + strings.Repeat("x", length-5) + "\n" }
	t.Run("reads a file of exactly the limit", func(t *testing.T) {
		cgroups := must[Cgroups](t)(write(t, cgroupFile, cgroup(cgroupLimit)).Cgroups())
		equal(t, len(cgroups[0].Path), cgroupLimit-4)
	})
	for name, read := range map[string]struct {
		file  string
		limit int
		text  func(int) string
		err   func(Process) error
	}{
		"cgroup": {cgroupFile, cgroupLimit, cgroup, func(p Process) error { _, err := p.Cgroups(); return err }},
		"stat": {statFile, statLimit, func(n int) string { return statLine(strings.Repeat("x", n)) },
			func(p Process) error { _, err := p.Stat(); return err }},
		"status": {statusFile, statusLimit, func(n int) string { return "X:" + strings.Repeat("y", n) + "\n" },
			func(p Process) error { _, err := p.Status(); return err }},
		"uid_map": {uidMapFile, idMapLimit, func(n int) string { return strings.Repeat("0 0 1\n", n/6+1) },
			func(p Process) error { _, err := p.UIDMap(); return err }},
		"gid_map": {gidMapFile, idMapLimit, func(n int) string { return strings.Repeat("0 0 1\n", n/6+1) },
			func(p Process) error { _, err := p.GIDMap(); return err }},
	} {
		t.Run("refuses a longer "+name+" instead of cutting it off", func(t *testing.T) {
			err := read.err(write(t, read.file, read.text(read.limit+1)))
			is(t, err, ErrTooLong)
			fails(t, err, "longer than "+strconv.Itoa(read.limit)+" bytes", "/5/"+name)
		})
	}
	t.Run("reads no directory", func(t *testing.T) {
		p := write(t, "x", "")
		if err := os.Mkdir(filepath.Join(p.fs.root, "5", cgroupFile), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := p.Cgroups()
		fails(t, err, "is a directory")
	})
}
