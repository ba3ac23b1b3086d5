// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
)

// A container with a very long table of mounts is read as far as the bounds go. What is beyond them makes it
// unverified, and nothing that was read is lost by it.
func TestARealContainerWithVeryManyMounts(t *testing.T) {
	tests := map[string]struct {
		hundreds int
		of       string
		unread   string // in what it is unverified for; empty if all of it can be read
		numbers  int    // of mounts that are kept, at least
	}{
		"20,000 of its own":            {200, "", "", 20_000},
		"20,000 of the node's":         {200, "/usr", "or than 2048 of file systems of the node", 20_000},
		"more than are read of anyone": {maxMountIDs / 100, "", "there are too many: more than 30000", maxMountIDs},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cgroup := cgroupOf(t, proctest.ID("a"))
			proctest.InManyMounts(t, test.hundreds, test.of, func() { helper(t, "sleep", own&^unix.CLONE_NEWNS, cgroup) })
			w := realWitness(t)
			w.Looker = NewLooker(w.fs, pods{granted()}, LookerOptions{Inspect: time.Second})
			w.look(0)
			o := w.look(2 * time.Second)

			_, findings := ofWeb(o)
			for name, f := range findings {
				if strings.HasPrefix(name, "Escape") || strings.HasPrefix(name, "Drift") {
					t.Errorf("found, of a container in namespaces of its own: %s: %+v", name, f)
				}
			}
			found := openingsOf(o)
			if !strings.Contains(found["Portal hostPaths"], "the container's root is the node's") {
				t.Errorf("what was read of its mounts is not told: %v", found)
			}
			unverified, told := found["Unverified mounts"]
			if told != (test.unread != "") && !strings.Contains(unverified, "take too long") || test.unread != "" && !strings.Contains(unverified, test.unread) {
				t.Errorf("unverified for %q, want %q", unverified, test.unread)
			}
			if inspected(t, o) == told {
				t.Errorf("looked at closely: %v, unverified: %q", inspected(t, o), unverified)
			}
			if n := numbersKept(t, w); n < test.numbers || n > maxMountIDs {
				t.Errorf("%d mounts are known by their numbers, want %d at least", n, test.numbers)
			}
		})
	}
}

// What is mounted where the spec has a volume is read whatever its file system: else what covers it would be taken for it.
func TestWhatCoversARealVolumeIsNotTakenForIt(t *testing.T) {
	_, proceed := shellIn(t, cgroupOf(t, proctest.ID("a")), &syscall.SysProcAttr{Cloneflags: own},
		"mount --make-rprivate / && mount -t tmpfs volume /mnt && mount --bind /usr /mnt && echo ready; read end")
	proceed()
	for name, volumes := range map[string][]openings.GrantedMount{"where a volume is": {{Point: "/mnt"}}, "where none is": nil} {
		t.Run(name, func(t *testing.T) {
			pod := granted()
			for i := range pod.Containers {
				pod.Containers[i].Grant.Mounts = volumes
			}
			w := realWitness(t)
			w.Looker = NewLooker(w.fs, pods{pod}, LookerOptions{Inspect: time.Second})
			var types []string
			for _, m := range closeLook(t, w).Mounts {
				if m.Point == "/mnt" {
					types = append(types, m.FSType)
				}
			}
			if got := slices.Contains(types, "tmpfs"); got != (volumes != nil) || len(types) == 0 {
				t.Errorf("at /mnt it read %q", types)
			}
		})
	}
}

// numbersKept is of how many mounts of the test's container a close look keeps the numbers.
func numbersKept(t *testing.T, w *witness) int {
	t.Helper()
	return len(closeLook(t, w).MountIDs)
}

// What ends while it is looked at is no container of which something could not be read, also before it is reaped.
func TestARealContainerThatEndsWhileItIsLookedAt(t *testing.T) {
	first := helper(t, "sleep", own, cgroupOf(t, proctest.ID("a")))
	w := realWitness(t)
	w.Looker = NewLooker(w.fs, pods{granted()}, LookerOptions{Inspect: time.Second})
	seen := closeLook(t, w, func() {
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", first)); err != nil || strings.Contains(string(text), ") Z ") {
				return
			}
		}
		t.Fatal("it does not end")
	})
	if seen.Unread != "" || len(seen.Processes) != 0 {
		t.Errorf("%+v", seen)
	}
}

// closeLook looks closely at the test's container, after meanwhile was done.
func closeLook(t *testing.T, w *witness, meanwhile ...func()) openings.Container {
	t.Helper()
	look, err := w.Look(w.now, false)
	if err != nil {
		t.Fatal(err)
	}
	node, err := w.nodeMounts()
	if err != nil {
		t.Fatal(err)
	}
	for i := range look.Containers {
		if c := &look.Containers[i]; c.Name == "app" {
			for _, do := range meanwhile {
				do()
			}
			return w.container(c, node, indexOf(w.dir), look)
		}
	}
	t.Fatal("the container was not seen")
	return openings.Container{}
}
