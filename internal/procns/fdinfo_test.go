// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"strings"
	"testing"
)

// openFiles reads the files with the lowest numbers.
func openFiles(t testing.TB, p Process, limit int) (files []OpenFile, more bool) {
	t.Helper()
	more, err := p.OpenFiles(limit, func(f OpenFile) { files = append(files, f) })
	if err != nil {
		t.Fatal(err)
	}
	return files, more
}

func TestOpenFiles(t *testing.T) {
	t.Run("refuses a description that is cut off", func(t *testing.T) {
		_, err := openProcess(t, openFixture(t, hostile), 10).OpenFiles(10, func(OpenFile) {})
		fails(t, err, "/10/fdinfo/3", "truncated")
	})
	t.Run("says that the kernel has no such directory", func(t *testing.T) {
		_, err := openProcess(t, openFixture(t, bareV1), 700).OpenFiles(10, func(OpenFile) {})
		is(t, err, ErrUnsupported)
	})
	p := openProcess(t, openFixture(t, bareV2), 1300)
	t.Run("reads files and nothing else", func(t *testing.T) {
		found := map[int]OpenFile{}
		more, err := p.OpenFiles(5, func(f OpenFile) { found[f.FD] = f })
		equal(t, []any{more, err}, []any{false, nil})
		equal(t, found, map[int]OpenFile{
			0:  {FD: 0, Flags: 0o100000, MountID: 2103, Inode: 5},
			1:  {FD: 1, Flags: 0o1, MountID: 15, Inode: 40123},
			5:  {FD: 5, Flags: 0o2, MountID: 16, Inode: 1054},
			12: {FD: 12, Flags: 0o12200000, MountID: 34, Inode: 2},
			31: {FD: 31, Flags: 0o100000, MountID: 2101},
		})
	})
	t.Run("says that there are more than wanted", func(t *testing.T) {
		for limit, want := range map[int]bool{0: true, 1: true, 4: true, 5: false, 100: false} {
			files, more := openFiles(t, p, limit)
			equal(t, []any{len(files), more}, []any{min(limit, 5), want})
		}
	})
}

func TestParseFDInfo(t *testing.T) {
	t.Run("reads the beginning of a long description", func(t *testing.T) {
		text := "pos:\t0\nflags:\t02\nmnt_id:\t16\nino:\t9\n" + strings.Repeat("tfd: 5 ino:7\n", 100)
		equal(t, must[OpenFile](t)(parseFDInfo([]byte(text[:fdinfoHead]))), OpenFile{Flags: 2, MountID: 16, Inode: 9})
	})
	t.Run("takes no inode from what follows", func(t *testing.T) {
		text := "pos:\t0\nflags:\t02\nmnt_id:\t16\ntfd:\t5\nino:\t7\n"
		equal(t, must[OpenFile](t)(parseFDInfo([]byte(text))), OpenFile{Flags: 2, MountID: 16})
	})
	for name, test := range map[string]struct{ text, says string }{
		"nothing":                    {"", "truncated"},
		"no newline at the end":      {"pos:\t0\nflags:\t02\nmnt_id:\t16", "truncated"},
		"a kernel without mounts":    {"pos:\t0\nflags:\t02\n", "mnt_id"},
		"another order":              {"flags:\t02\npos:\t0\nmnt_id:\t16\n", "pos"},
		"empty flags":                {"pos:\t0\nflags:\t\nmnt_id:\t16\n", "flags"},
		"flags that are not octal":   {"pos:\t0\nflags:\t08\nmnt_id:\t16\n", "octal"},
		"flags of more than 32 bits": {"pos:\t0\nflags:\t040000000000\nmnt_id:\t16\n", "octal"},
		"a mount that is no number":  {"pos:\t0\nflags:\t02\nmnt_id:\t-1\n", "mnt_id"},
		"an inode that overflows":    {"pos:\t0\nflags:\t02\nmnt_id:\t1\nino:\t18446744073709551616\n", "ino"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			file, err := parseFDInfo([]byte(test.text))
			fails(t, err, test.says)
			equal(t, file, OpenFile{})
		})
	}
}
