// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mounts reads the whole table.
func mounts(t testing.TB, p Process) []Mount {
	t.Helper()
	var all []Mount
	if err := p.Mounts(func(m Mount) bool { all = append(all, m); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

// mountLines are the lines of all tables under testdata.
func mountLines(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*", mountsFile))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	var lines []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return lines
}

func TestMounts(t *testing.T) {
	t.Run("reads the table of a container", func(t *testing.T) {
		all := mounts(t, openProcess(t, openFixture(t, bareV2), 1300))
		equal(t, len(all), 18)
		equal(t, all[0], Mount{ID: 2101, Parent: 1588, Minor: 312, Root: "/", Point: "/", FSType: "overlay", Source: "overlay"})
		equal(t, all[5], Mount{ID: 2106, Parent: 2101, Minor: 310, Root: "/", Point: "/sys", ReadOnly: true,
			SuperReadOnly: true, FSType: "sysfs", Source: "sysfs"})
		equal(t, all[12], Mount{ID: 2113, Parent: 2101, Major: 259, Minor: 2, Root: "/var/log", Point: "/host/log",
			ReadOnly: true, Master: 1, PropagateFrom: 1, FSType: "ext4", Source: "/dev/nvme0n1p2"})
	})
	t.Run("is not misled by names, types and options", func(t *testing.T) {
		equal(t, mounts(t, openProcess(t, openFixture(t, hostile), 10))[1:], []Mount{
			{ID: 41, Parent: 40, Minor: 50, Root: "/", Point: "/mnt/a b\tc\nd\\e#f\xff", Shared: 7, Master: 2,
				PropagateFrom: 1, Unbindable: true, FSType: "fuse.-", Source: "-", SuperReadOnly: true},
			{ID: 42, Parent: 40, Minor: 51, Root: "/", Point: "/empty", FSType: "fuse"},
			{ID: 43, Parent: 40, Major: 8, Minor: 1, Root: "/tmp/gone//deleted", Point: "/mnt/gone", Shared: 1,
				FSType: "ext4", Source: "/dev/sda1"},
			{ID: 44, Parent: 40, Minor: 4, Root: "net:[4026532640]", Point: "/run/netns/x", FSType: "nsfs", Source: "nsfs"},
			{ID: 46, Parent: 45, Minor: 52, Root: "/", Point: "/top", FSType: "tmpfs", Source: "early"},
			{ID: 45, Parent: 40, Minor: 53, Root: "/", Point: "/top", ReadOnly: true, FSType: "tmpfs", Source: "late"},
			{ID: 47, Parent: 40, Minor: 54, Root: "/../..", Point: "/cg", FSType: "cgroup2", Source: "so #urce"},
		})
	})
	t.Run("ends when no more is wanted", func(t *testing.T) {
		visited := 0
		err := openProcess(t, openFixture(t, hostile), 10).Mounts(func(Mount) bool { visited++; return visited < 2 })
		equal(t, []any{visited, err}, []any{2, nil})
	})
	t.Run("lets a visit read from the tree, mounts too", func(t *testing.T) {
		p, lines := openProcess(t, openFixture(t, bareV2), 1300), 0
		err := p.Mounts(func(Mount) bool {
			lines += len(mounts(t, p))
			must[Status](t)(p.Status())
			must[[]int](t)(p.Threads())
			return true
		})
		equal(t, []any{lines, err}, []any{18 * 18, nil})
	})
	t.Run("says what was read of a table that is cut off, and that it is", func(t *testing.T) {
		visited := 0
		err := openProcess(t, openFixture(t, hostile), 11).Mounts(func(Mount) bool { visited++; return true })
		fails(t, err, "/11/mountinfo", "truncated")
		equal(t, visited, 1)
	})
}

func TestParseMount(t *testing.T) {
	for name, line := range map[string]string{
		"an empty line":                       "",
		"too few fields":                      "1 2 0:3 / /x",
		"no options":                          "1 2 0:3 / /x ",
		"a mount ID that is no number":        "x 2 0:3 / /x rw - tmpfs none rw",
		"a parent that overflows":             "1 99999999999999999999 0:3 / /x rw - tmpfs none rw",
		"a device without a minor number":     "1 2 0 / /x rw - tmpfs none rw",
		"a device that is no number":          "1 2 0:-3 / /x rw - tmpfs none rw",
		"options that are neither ro nor rw":  "1 2 0:3 / /x nosuid - tmpfs none rw",
		"no separator":                        "1 2 0:3 / /x rw shared:1 tmpfs none rw",
		"nothing after the separator":         "1 2 0:3 / /x rw -",
		"no source":                           "1 2 0:3 / /x rw - tmpfs rw",
		"no options of the filesystem":        "1 2 0:3 / /x rw - tmpfs none",
		"a source of two fields":              "1 2 0:3 / /x rw - cifs //server/my docs rw",
		"an empty root":                       "1 2 0:3  /x rw - tmpfs none rw",
		"an empty mount point":                "1 2 0:3 /  rw - tmpfs none rw",
		"a mount point that is relative":      "1 2 0:3 / x rw - tmpfs none rw",
		"a mount point with a lone backslash": `1 2 0:3 / /x\ rw - tmpfs none rw`,
		"a root with a hexadecimal escape":    `1 2 0:3 /\x20 /x rw - tmpfs none rw`,
		"an escape that is no byte":           `1 2 0:3 / /\400 rw - tmpfs none rw`,
		"an escape that is cut off":           `1 2 0:3 / /\04 rw - tmpfs none rw`,
		"an empty type":                       "1 2 0:3 / /x rw -  none rw",
		"a peer group of no number":           "1 2 0:3 / /x rw shared: - tmpfs none rw",
		"a master that is none":               "1 2 0:3 / /x rw master:0 - tmpfs none rw",
		"unbindable with a value":             "1 2 0:3 / /x rw unbindable:1 - tmpfs none rw",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			mount, err := parseMount([]byte(line))
			fails(t, err, strconv.Quote(line[:min(len(line), 64)]))
			equal(t, mount, Mount{})
		})
	}
	t.Run("leaves what a driver prints as its source", func(t *testing.T) {
		mount := must[Mount](t)(parseMount([]byte(`1 2 0:3 / /x rw - vendorfs \\server\share\040x rw`)))
		equal(t, mount.Source, `\\server\share x`)
	})
}

func TestLongTables(t *testing.T) {
	write := func(t *testing.T, text string) Process {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "5"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{statFile: statLine("x"), mountsFile: text} {
			if err := os.WriteFile(filepath.Join(root, "5", file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return openProcess(t, openTree(t, root), 5)
	}
	line := func(length int) string {
		head, tail := "1 2 0:3 / /", " rw - tmpfs none rw\n"
		return head + strings.Repeat("x", length-len(head)-len(tail)) + tail
	}
	t.Run("reads 20,000 lines of 1,000 bytes in a buffer of a few", func(t *testing.T) {
		p := write(t, strings.Repeat(line(1000), 20000))
		equal(t, len(mounts(t, p)), 20000)
		equal(t, len(p.fs.lines) <= lineBuffer, true)
	})
	t.Run("reads a line of a megabyte and keeps no such buffer", func(t *testing.T) {
		p := write(t, line(80)+line(mountLineLimit)+line(80))
		equal(t, len(mounts(t, p)), 3)
		equal(t, len(p.fs.lines) <= lineBuffer, true)
		equal(t, len(mounts(t, p)), 3)
	})
	t.Run("refuses a longer line", func(t *testing.T) {
		err := write(t, line(80)+line(3*mountLineLimit)).Mounts(func(Mount) bool { return true })
		is(t, err, ErrTooLong)
		fails(t, err, "/5/mountinfo", "a line is longer than 1048576 bytes")
	})
	t.Run("refuses a longer table", func(t *testing.T) {
		err := write(t, strings.Repeat(line(1<<10), mountsLimit>>10+1)).Mounts(func(Mount) bool { return true })
		is(t, err, ErrTooLong)
		fails(t, err, "/5/mountinfo", "longer than 33554432 bytes")
	})
}
