// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// seed adds every file of that name in the trees under testdata.
func seed(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		files, err := filepath.Glob(filepath.Join("testdata", "*", "*", name))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds %s: %v", name, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	seed(f, "stat")
	f.Fuzz(func(t *testing.T, text []byte) {
		stat, err := parseStat(text)
		if err != nil {
			equal(t, stat, Stat{})
			return
		}
		if prefix := strconv.Itoa(stat.PID) + " (" + stat.Comm + ") "; !strings.HasPrefix(string(text), prefix) {
			t.Errorf("%q does not begin with %q", text, prefix)
		}
		if rest := text[len(strconv.Itoa(stat.PID))+len(stat.Comm)+4:]; strings.Contains(string(rest), ") ") {
			t.Errorf("the name ends too early: %q", rest)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	seed(f, "status")
	f.Fuzz(func(t *testing.T, text []byte) {
		status, err := parseStatus(text)
		if err != nil {
			equal(t, status, Status{})
			return
		}
		if strings.ContainsRune(status.Name, '\n') {
			t.Errorf("a name of two lines: %q", status.Name)
		}
		for _, name := range statusRequired {
			if !strings.Contains("\n"+string(text), "\n"+name+":") {
				t.Errorf("no %s in %q", name, text)
			}
		}
	})
}

func FuzzParseCgroups(f *testing.F) {
	seed(f, "cgroup")
	f.Fuzz(func(t *testing.T, text []byte) {
		cgroups, err := parseCgroups(text)
		if err != nil {
			equal(t, len(cgroups), 0)
			return
		}
		var again strings.Builder
		for _, entry := range cgroups {
			again.WriteString(strconv.Itoa(entry.HierarchyID) + ":" + entry.Controllers + ":" + entry.Path + "\n")
		}
		equal(t, again.String(), string(text))
	})
}

func FuzzParseIDMap(f *testing.F) {
	seed(f, "uid_map", "gid_map")
	f.Fuzz(func(t *testing.T, text []byte) {
		ids, err := parseIDMap(text)
		if err != nil {
			equal(t, len(ids), 0)
			return
		}
		var fields []string
		for _, r := range ids {
			for _, n := range []uint32{r.Inside, r.Outside, r.Count} {
				fields = append(fields, strconv.FormatUint(uint64(n), 10))
			}
			if last := uint64(r.Outside) + uint64(r.Count) - 1; !ids.ContainsOutside(r.Outside) && r.Outside != noID ||
				last < noID && !ids.ContainsOutside(uint32(last)) {
				t.Errorf("%v does not contain its own ends", r)
			}
		}
		equal(t, strings.Join(strings.Fields(string(text)), " "), strings.Join(fields, " "))
	})
}

func FuzzParseMount(f *testing.F) {
	for _, line := range mountLines(f) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		mount, err := parseMount(line)
		if err != nil {
			equal(t, mount, Mount{})
			return
		}
		fields := strings.Split(string(line), " ")
		separator := 6 + slices.Index(fields[6:], "-")
		equal(t, fields[0]+" "+fields[1], strconv.Itoa(mount.ID)+" "+strconv.Itoa(mount.Parent))
		equal(t, fields[2], strconv.FormatUint(uint64(mount.Major), 10)+":"+strconv.FormatUint(uint64(mount.Minor), 10))
		texts := map[string]string{fields[3]: mount.Root, fields[4]: mount.Point, fields[separator+1]: mount.FSType}
		for escaped, text := range texts {
			if strings.Count(escaped, `\`)*3+len(text) != len(escaped) {
				t.Errorf("%q became %q", escaped, text)
			}
		}
		if strings.HasPrefix(fields[5], "ro") != mount.ReadOnly || strings.HasPrefix(fields[separator+3], "ro") != mount.SuperReadOnly {
			t.Errorf("%+v is not %q", mount, line)
		}
	})
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte("one\n\nthree\n"), uint16(3))
	f.Add([]byte("cut off"), uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, size uint16) {
		var got strings.Builder
		file := filepath.Join(t.TempDir(), "lines")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		fd, err := openFile(0, file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = closeFD(fd) }()
		_, err = readOpenLines(fd, make([]byte, 1+size%64), 1<<20, 1<<20, func(line []byte) bool {
			got.WriteString(string(line) + "\n")
			return true
		})
		end := strings.LastIndexByte(string(text), '\n') + 1
		equal(t, got.String(), string(text[:end]))
		equal(t, err == nil, end == len(text))
	})
}

func FuzzParseFDInfo(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*", "fdinfo", "*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseFDInfo(text)
		if err != nil {
			equal(t, file, OpenFile{})
			return
		}
		_, rest, _ := strings.Cut(string(text), "\nflags:\t")
		flags, rest, _ := strings.Cut(rest, "\nmnt_id:\t")
		n, err := strconv.ParseUint(flags, 8, 32)
		equal(t, []any{uint32(n), err}, []any{file.Flags, nil})
		equal(t, strings.HasPrefix(rest, strconv.Itoa(file.MountID)+"\n"), true)
		if file.Inode != 0 && !strings.Contains(rest, "\nino:\t"+strconv.FormatUint(file.Inode, 10)+"\n") {
			t.Errorf("inode %d is not in %q", file.Inode, text)
		}
	})
}

func FuzzParseLink(f *testing.F) {
	for k := range Kind(NumKinds) {
		f.Add(uint8(k), []byte(k.String()+":["+strconv.FormatUint(initialInodes[k], 10)+"]"))
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		k := Kind(kind % NumKinds)
		if ino, ok := parseLink(k, text); ok {
			equal(t, k.String()+":["+strconv.FormatUint(ino, 10)+"]", string(text))
		}
	})
}

func FuzzParseBootTime(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", bareV2, "stat"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		boot, err := parseBootTime(text)
		if err == nil && !strings.Contains(string(text), "btime "+strconv.FormatInt(boot.Unix(), 10)+"\n") {
			t.Errorf("%v is not in %q", boot, text)
		}
	})
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("6.18.0-amd64\n"))
	f.Add([]byte("0b9c8f0e-3b0a-4c55-9d0f-6f1f3f1d2c11\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		line, err := parseLine(text)
		if err != nil {
			return
		}
		equal(t, string(line)+"\n", string(text))
		_ = isUUID(line)
		_ = reservesNetAndMnt(string(line))
	})
}

func FuzzParseDirents(f *testing.F) {
	f.Add(direntRecord("1", 4))
	f.Add(slices.Concat(direntRecord("self", 10), direntRecord("4194304", 4), direntRecord("99999999999", 0)))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = parseDirents(text, typeDirectory, func(n int, _ uint64) bool {
			if n < 0 || !strings.Contains(string(text), strconv.Itoa(n)) {
				t.Errorf("%d is not in %q", n, text)
			}
			return true
		})
	})
}

// direntRecord is a directory entry as getdents64(2) gives it.
func direntRecord(name string, kind byte) []byte {
	record := make([]byte, 19, 48)
	record[18] = kind
	record = append(record, name...)
	record = append(record, 0)
	for len(record)%8 != 0 {
		record = append(record, 0)
	}
	binary.NativeEndian.PutUint16(record[16:], uint16(len(record)))
	return record
}
