// SPDX-License-Identifier: Apache-2.0

package byhand_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/byhand"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// run does what a person does who pastes a command.
func run(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestCommandsShowTheNamespacesOfAProcessAndOfAThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid := os.Getpid(), syscall.Gettid()
	for _, axis := range isolation.Axes {
		var st syscall.Stat_t
		if err := syscall.Stat("/proc/self/ns/"+axis.File(), &st); err != nil {
			t.Fatal(err)
		}
		// namespaces(7): the link's text is the kind and the inode.
		want := fmt.Sprintf(":[%d]", st.Ino)
		for _, command := range []string{byhand.Namespace(axis, int64(pid), 0), byhand.Namespace(axis, int64(pid), int64(tid))} {
			if got := run(t, command); !strings.HasSuffix(got, want) {
				t.Errorf("%s: %s prints %q, not the inode %s", axis, command, got, want)
			}
		}
	}
}

func TestTheCommandShowsTheControlGroupOfAProcess(t *testing.T) {
	want, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, byhand.Cgroup(int64(os.Getpid()))); got != strings.TrimSpace(string(want)) {
		t.Errorf("it prints %q, and the process is in %q", got, want)
	}
}
