// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const oddName = "a b\tc\nd\\e#f\xff - tmpfs"

// odd makes mounts that are hard to read, and ends in a directory whose path is longer than any that
// the kernel takes.
func odd() error {
	if err := mounting(); err != nil {
		return err
	}
	for _, dir := range []string{oddName, "gone", "gone-point", "shared", "slave", "bound"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile("net", nil, 0o600); err != nil {
		return err
	}
	for _, m := range []struct {
		source, point, fsType string
		flags                 uintptr
	}{
		{"s#o\nu rce - x", oddName, "tmpfs", unix.MS_RDONLY},
		{"gone", "gone-point", "", unix.MS_BIND},
		{"", "shared", "tmpfs", 0},
		{"", "shared", "", unix.MS_SHARED},
		{"shared", "slave", "", unix.MS_BIND},
		{"", "slave", "", unix.MS_SLAVE},
		{"", "slave", "", unix.MS_SHARED},
		{"shared", "bound", "", unix.MS_BIND},
		{"", "bound", "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY},
		{"", "bound", "", unix.MS_UNBINDABLE},
		{"/proc/self/ns/net", "net", "", unix.MS_BIND},
	} {
		if err := unix.Mount(m.source, m.point, m.fsType, m.flags, ""); err != nil {
			return fmt.Errorf("mount %+v: %w", m, err)
		}
	}
	if err := os.Remove("gone"); err != nil {
		return err
	}
	for range 100 {
		name := strings.Repeat(" ", 250)
		if err := unix.Mkdir(name, 0o700); err != nil {
			return err
		}
		if err := unix.Chdir(name); err != nil {
			return err
		}
	}
	if err := unix.Mkdir("deep", 0o700); err != nil {
		return err
	}
	if err := unix.Mount("deep", "deep", "tmpfs", 0, ""); err != nil {
		return err
	}
	if err := unix.Chdir("deep"); err != nil {
		return err
	}
	return ready("")
}

func TestOddMounts(t *testing.T) {
	dir := t.TempDir()
	p, _ := startMounting(t, openProc(t), "odd", dir)
	found := map[string]Mount{}
	for _, m := range mounts(t, p) {
		name, _ := strings.CutPrefix(m.Point, dir+"/")
		if m.Source == "deep" {
			name = "deep"
		}
		found[name] = m
	}
	t.Run("are read as they are named", func(t *testing.T) {
		m := found[oddName]
		equal(t, []any{m.Root, m.FSType, m.Source, m.SuperReadOnly}, []any{"/", "tmpfs", "s#o\nu rce - x", true})
	})
	t.Run("tell that what they show was removed", func(t *testing.T) {
		equal(t, found["gone-point"].Root, "/gone//deleted")
	})
	t.Run("tell a namespace", func(t *testing.T) {
		equal(t, []string{found["net"].FSType, strings.TrimRight(found["net"].Root, "0123456789]")}, []string{"nsfs", "net:["})
	})
	t.Run("tell how they propagate", func(t *testing.T) {
		shared, slave := found["shared"], found["slave"]
		equal(t, shared.Shared > 0 && shared.Master == 0, true)
		equal(t, slave.Shared > 0 && slave.Shared != shared.Shared, true)
		equal(t, slave.Master, shared.Shared)
		equal(t, found["bound"].Unbindable && found["bound"].Shared == 0, true)
	})
	t.Run("tell what is read-only, the mount or all of it", func(t *testing.T) {
		equal(t, []bool{found["bound"].ReadOnly, found["bound"].SuperReadOnly}, []bool{true, false})
		equal(t, []bool{found["shared"].ReadOnly, found["shared"].SuperReadOnly}, []bool{false, false})
	})
	t.Run("are as deep as they are", func(t *testing.T) {
		equal(t, len(found["deep"].Point), len(dir)+100*251+5)
	})
	t.Run("have a place in them whose path the kernel does not tell", func(t *testing.T) {
		equal(t, must[Place](t)(p.Cwd()), Place{MountID: found["deep"].ID, Directory: true})
	})
}

// many makes a table of as many mounts as its directory's name says.
func many() error {
	count, err := strconv.Atoi(filepath.Base(os.Getenv(helperDir)))
	if err != nil {
		return err
	}
	if err := mounting(); err != nil {
		return err
	}
	for i := range count {
		// As long as the path of a volume of a pod.
		dir := fmt.Sprintf("0b9c8f0e-3b0a-4c55-9d0f-6f1f3f1d2c11-volumes-kubernetes.io~secret-%d", i)
		if err := unix.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %d: %w", i, err)
		}
	}
	return ready("")
}

// A table costs the memory of one line, however long it is: what is read of each mount is one string.
func TestAVeryLongTableIsNotHeld(t *testing.T) {
	const count = 20_000
	line := mountLines(t)[0] + "\n"
	dir := filepath.Join(t.TempDir(), "7")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mountinfo"), []byte(strings.Repeat(line, count)), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := openTree(t, filepath.Dir(dir))
	p := openProcess(t, tree, 7)
	read := 0
	allocated := testing.AllocsPerRun(1, func() {
		read = 0
		if err := p.Mounts(func(Mount) bool { read++; return true }); err != nil {
			t.Error(err)
		}
	})
	equal(t, read, count)
	if allocated > count+10 {
		t.Errorf("%.0f allocations for %d mounts", allocated, count)
	}
	if len(tree.lines) > lineBuffer {
		t.Errorf("%d bytes are kept for lines", len(tree.lines))
	}
}

func BenchmarkMounts(b *testing.B) {
	for _, count := range []int{30, 20000} {
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), strconv.Itoa(count))
			if err := os.Mkdir(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			p, _ := startMounting(b, openProc(b), "many", dir)
			b.ReportAllocs()
			for b.Loop() {
				read := 0
				if err := p.Mounts(func(Mount) bool { read++; return true }); err != nil || read < count {
					b.Fatalf("%d read: %v", read, err)
				}
			}
		})
	}
}

// BenchmarkParseMount is BenchmarkMounts without the kernel, per line.
func BenchmarkParseMount(b *testing.B) {
	line := []byte(mountLines(b)[0])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseMount(line); err != nil {
			b.Fatal(err)
		}
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
	p, _ := startMounting(t, openProc(t), "stacked", dir)
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
		if at["upper"] >= at["beneath"] {
			t.Error("what covers comes after what is covered, even here")
		}
	})
}
