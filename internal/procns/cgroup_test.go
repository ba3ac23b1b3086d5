// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"strings"
	"testing"
)

func TestCgroups(t *testing.T) {
	const systemdUID = "1a2b3c4d_0001_4000_8000_00000000a001"
	paths := map[string]struct {
		tree       string
		pid        int
		entries    int
		controller string
		path       string
	}{
		"v2 made by systemd": {bareV2, 1300, 1, "", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" +
			systemdUID + ".slice/cri-containerd-" + strings.Repeat("b", 64) + ".scope"},
		"v2 made by the runtime, on a node in a node": {nested, 450, 1, "",
			"/kubelet/kubepods/besteffort/pod1a2b3c4d-0001-4000-8000-00000000a001/" + strings.Repeat("c", 64)},
		"v1 made by the runtime": {bareV1, 700, 12, "pids",
			"/kubepods/burstable/pod1a2b3c4d-0001-4000-8000-00000000a001/" + strings.Repeat("d", 64)},
		"v1 by a name instead of a controller": {bareV1, 700, 12, "name=systemd",
			"/kubepods/burstable/pod1a2b3c4d-0001-4000-8000-00000000a001/" + strings.Repeat("d", 64)},
		"v1 by the second of two controllers": {bareV1, 2, 12, "cpuacct", "/"},
		"the v2 hierarchy of a hybrid host": {hybrid, 800, 4, "",
			"/kubepods.slice/kubepods-pod" + systemdUID + ".slice/cri-containerd-" + strings.Repeat("e", 64) + ".scope"},
		"a v1 hierarchy of a hybrid host": {hybrid, 1, 4, "memory", "/init.scope"},
		"a path that holds colons and escapes, relative to the reader's namespace": {hostile, 10, 1, "",
			"/../../pod1a2b3c4d-0001-4000-8000-00000000a001/x:y\x1b[31m (deleted)"},
	}
	for name, test := range paths {
		t.Run("reads "+name, func(t *testing.T) {
			cgroups := must[Cgroups](t)(openProcess(t, openFixture(t, test.tree), test.pid).Cgroups())
			equal(t, len(cgroups), test.entries)
			path, found := cgroups.Path(test.controller)
			equal(t, found, true)
			equal(t, path, test.path)
		})
	}
	t.Run("finds no unified hierarchy on a v1 host", func(t *testing.T) {
		_, found := must[Cgroups](t)(openProcess(t, openFixture(t, bareV1), 700).Cgroups()).Path("")
		equal(t, found, false)
	})
	t.Run("finds no controller by a part of its name", func(t *testing.T) {
		equal(t, CgroupEntry{Controllers: "cpu,cpuacct"}.Has("acct"), false)
		equal(t, CgroupEntry{Controllers: "cpu,cpuacct"}.Has(""), false)
	})
}

func TestParseCgroups(t *testing.T) {
	t.Run("reads no hierarchy at all", func(t *testing.T) {
		cgroups, err := parseCgroups(nil)
		if err != nil || len(cgroups) != 0 {
			t.Errorf("%v, %v", cgroups, err)
		}
	})
	t.Run("keeps the kernel's order", func(t *testing.T) {
		cgroups, err := parseCgroups([]byte("2:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c\n"))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, cgroups, Cgroups{{2, "cpu,cpuacct", "/a"}, {1, "name=systemd", "/b"}, {0, "", "/c"}})
	})
	for name, test := range map[string]struct{ text, says string }{
		"a line that is cut off":                              {"0::/kubepods.sl", "truncated"},
		"a hierarchy that is there twice":                     {"0::/kubepods/pod1\n0::/kubepods/pod2\n", "twice"},
		"a line that a renamed v1 cgroup put there":           {"4:memory:/a\nforged\n", "forged"},
		"an empty line":                                       {"0::/a\n\n", "not HIERARCHY"},
		"a line of one part":                                  {"0\n", "not HIERARCHY"},
		"a line of two parts":                                 {"0:/a\n", "not HIERARCHY"},
		"a path that is not absolute":                         {"0::a\n", "not HIERARCHY"},
		"an empty path":                                       {"0::\n", "not HIERARCHY"},
		"the unified hierarchy with controllers":              {"0:memory:/a\n", "not HIERARCHY"},
		"a v1 hierarchy without any":                          {"3::/a\n", "not HIERARCHY"},
		"a hierarchy with a negative number":                  {"-1:memory:/a\n", "not HIERARCHY"},
		"a hierarchy whose number overflows":                  {"2147483648:memory:/a\n", "not HIERARCHY"},
		"a hierarchy whose number another writing could hide": {"00::/a\n", "not HIERARCHY"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			cgroups, err := parseCgroups([]byte(test.text))
			fails(t, err, test.says)
			if cgroups != nil {
				t.Errorf("gave a part: %v", cgroups)
			}
		})
	}
	t.Run("quotes what it refuses, bounded", func(t *testing.T) {
		_, err := parseCgroups([]byte("\x1b[31m" + strings.Repeat("x", 10000) + "\n"))
		fails(t, err, `\x1b[31m`)
		if text := err.Error(); len(text) > 300 || strings.Contains(text, "\x1b") {
			t.Errorf("error of %d bytes: %s", len(text), text)
		}
	})
}
