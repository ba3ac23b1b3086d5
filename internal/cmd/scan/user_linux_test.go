// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user who has no rights.
const nobody = 65534

// asNobody is what the command tells an ordinary user.
func asNobody(t *testing.T, args ...string) outcome {
	t.Helper()
	c := program(nil, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return finished(t, c)
}

// finished runs a command to its end.
func finished(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{c.ProcessState.ExitCode(), out.String(), errOut.String()}
}

func TestAnOrdinaryUser(t *testing.T) {
	cgroup, theirs := dockerCgroup(t)
	other, own := dockerCgroup(t)
	start(t, cgroup, isolated)
	startUnshared(t, other, nobody)

	t.Run("sees what is theirs, and is told of the rest that it is unknown", func(t *testing.T) {
		o := asNobody(t, "-o", "json")
		want(t, "exit code", o.code, 0)
		var s scanned
		if err := json.Unmarshal([]byte(o.out), &s); err != nil {
			t.Fatalf("%v\n%s%s", err, o.out, o.errOut)
		}
		mine := s.container(t, own)
		want(t, "network of their own", mine.Axes["network"].Level, "Pod")
		want(t, "user of their own", mine.Axes["user"].Level, "Pod")
		foreign := s.container(t, theirs)
		want(t, "levels of another's", foreign.levels(), strings.TrimSpace(strings.Repeat("Unknown ", 8)))
		wantContains(t, "the reason", foreign.Axes["network"].Reason, "permission denied")
	})
	t.Run("is told what could not be seen and what to do, and never that all is well", func(t *testing.T) {
		o := asNobody(t)
		want(t, "exit code", o.code, 0)
		wantContains(t, "standard output", o.out, theirs[:12], own[:12], "not everything could be read")
		wantContains(t, "standard error", o.errOut, "could not be read: ", "permission denied",
			"user "+strconv.Itoa(nobody)+" sees the namespaces of their own processes only", "sudo bulkhead scan")
	})
	t.Run("is told if other users' processes are hidden", func(t *testing.T) {
		hidden := filepath.Join(t.TempDir(), "proc")
		for _, folder := range []string{hidden, filepath.Dir(hidden), filepath.Dir(filepath.Dir(hidden))} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // another user is to enter it
				t.Fatal(err)
			}
		}
		if err := syscall.Mount("proc", hidden, "proc", 0, "hidepid=invisible"); err != nil {
			t.Skipf("such a procfs cannot be mounted: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(hidden, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		o := asNobody(t, "--proc", hidden)
		want(t, "exit code", o.code, 0)
		wantContains(t, "standard output", o.out, own[:12])
		if strings.Contains(o.out, theirs[:12]) {
			t.Errorf("a hidden container was seen:\n%s", o.out)
		}
		wantContains(t, "standard error", o.errOut, "hides the processes of other users", "sudo bulkhead scan")
	})
}

// A sandbox made with Landlock may not read about processes outside of it, whatever its capabilities.
func TestRootInASandbox(t *testing.T) {
	cgroup, id := dockerCgroup(t)
	start(t, cgroup, isolated)
	o := finished(t, program([]string{inSandbox + "=1"}, "-o", "json"))
	if o.code == noSandbox {
		t.Skipf("this kernel has no Landlock: %s", o.errOut)
	}
	want(t, "exit code", o.code, 0)
	var s scanned
	if err := json.Unmarshal([]byte(o.out), &s); err != nil {
		t.Fatalf("%v\n%s%s", err, o.out, o.errOut)
	}
	c := s.container(t, id)
	want(t, "levels", c.levels(), strings.TrimSpace(strings.Repeat("Unknown ", 8)))
	wantContains(t, "the reason", c.Axes["network"].Reason, "permission denied")
	wantContains(t, "standard error", o.errOut, "could not be read: ", "though the scan has the capability SYS_PTRACE",
		"run the scan from a shell that none of them confines")
}
