// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"testing"
)

func TestKind(t *testing.T) {
	t.Run("is named after its link", func(t *testing.T) {
		for k, name := range []string{"pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time"} {
			equal(t, Kind(k).String(), name)
		}
		equal(t, Kind(8).String(), "Kind(8)")
	})
}

func TestNamespaces(t *testing.T) {
	t.Run("reads all links of a process", func(t *testing.T) {
		p := openProcess(t, openFixture(t, bareV2), 1300)
		links := p.Namespaces()
		for k, ino := range []uint64{4026532410, 4026532400, 4026532401, 4026532402, 4026532411, 4026532413, 4026532412, 4026531834} {
			equal(t, links[k], Link{ID: ID{Ino: ino}})
			equal(t, must[ID](t)(p.Namespace(Kind(k))), ID{Ino: ino})
		}
	})
	t.Run("reads the links of a thread", func(t *testing.T) {
		p := openProcess(t, openFixture(t, bareV2), 1300)
		equal(t, must[[]int](t)(p.Threads()), []int{1300, 1301})
		thread := must[Process](t)(p.Thread(1301))
		defer func() { _ = thread.Close() }()
		equal(t, thread.PID, 1301)
		equal(t, thread.String(), "thread 1301 of process 1300")
		equal(t, must[ID](t)(thread.Namespace(Net)).Ino, uint64(4026531833))
		equal(t, must[ID](t)(thread.Namespace(UTS)), must[ID](t)(p.Namespace(UTS)))
	})
	t.Run("says that a kernel has no such kind", func(t *testing.T) {
		p := openProcess(t, openFixture(t, bareV1), 700)
		_, err := p.Namespace(Time)
		is(t, err, ErrUnsupported)
		fails(t, err, "bare-v1-cgroupfs/700/ns/time")
		is(t, p.Namespaces()[Time].Err, ErrUnsupported)
		_, err = p.Namespace(Kind(99))
		is(t, err, ErrUnsupported)
	})
	t.Run("tells a zombie from a process that is gone", func(t *testing.T) {
		tree := openFixture(t, hostile)
		zombie, gone := openProcess(t, tree, 13).Namespaces(), openProcess(t, tree, 16).Namespaces()
		for k := range Kind(NumKinds) {
			is(t, gone[k].Err, ErrGone)
			if k == PID || k == User {
				is(t, zombie[k].Err, nil)
			} else {
				is(t, zombie[k].Err, ErrExited)
			}
		}
	})
	t.Run("reads the living thread of a leader that has exited", func(t *testing.T) {
		p := openProcess(t, openFixture(t, hostile), 14)
		stat := must[Stat](t)(p.Stat())
		equal(t, stat.Exited() && stat.NumThreads == 2, true)
		equal(t, must[[]int](t)(p.Threads()), []int{14, 15})
		thread := must[Process](t)(p.Thread(15))
		defer func() { _ = thread.Close() }()
		equal(t, must[ID](t)(thread.Namespace(Net)).Ino, uint64(4026531833))
	})
	t.Run("refuses links that say something else", func(t *testing.T) {
		links := openProcess(t, openFixture(t, hostile), 10).Namespaces()
		fails(t, links[Net].Err, "10/ns/net", "pid:[4026531836]")
		fails(t, links[IPC].Err, "10/ns/ipc", "40265318x9")
		fails(t, links[UTS].Err, "10/ns/uts", "longer than 63 bytes")
		is(t, links[Net].Err, nil)
		is(t, links[UTS].Err, ErrTooLong)
		equal(t, links[Mnt].Err, nil)
	})
}

func TestParseLink(t *testing.T) {
	for name, text := range map[string]string{
		"another kind":                 "user:[4026531837]",
		"a kind that begins the same":  "pid_for_children:[4026531836]",
		"nothing":                      "",
		"a number alone":               "4026531836",
		"no number":                    "pid:[]",
		"the number zero":              "pid:[0]",
		"a missing bracket":            "pid:[4026531836",
		"more than the kernel prints":  "pid:[4026531836] (deleted)",
		"a path":                       "/proc/1/ns/pid",
		"a number with a leading zero": "pid:[04026531836]",
		"a number that overflows":      "pid:[18446744073709551616]",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if ino, ok := parseLink(PID, []byte(text)); ok {
				t.Errorf("took %q for %d", text, ino)
			}
		})
	}
}
