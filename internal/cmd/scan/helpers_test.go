// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/scan"
)

// outcome is what a call of the command did.
type outcome struct {
	code        int
	out, errOut string
}

// run calls the command as the program does.
func run(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	c := scan.Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&out)
	c.SetErr(&errOut)
	c.SetArgs(args)
	err := c.Execute()
	code := 0
	var exited *exit.Error
	switch {
	case errors.As(err, &exited):
		code = exited.Code
	case err != nil:
		code = 2
	}
	if err != nil {
		errOut.WriteString(err.Error())
	}
	return outcome{code, out.String(), errOut.String()}
}

// scanned is the JSON of a call.
type scanned struct {
	Node struct {
		BootID, KernelVersion string
		Nested                bool
		Axes                  map[string]struct {
			Inodes          []uint64
			Witness, Reason string
		}
	}
	Containers []scannedContainer
	Unshared   []scannedGroup
}

// at are the levels and inodes by axis.
type at map[string]struct {
	Level  string
	Inode  uint64
	Reason string
}

type scannedGroup struct {
	PIDs    []int
	Command string
	Axes    at
}

type scannedContainer struct {
	ID, Runtime, Command, Cgroup string
	Sandbox                      bool
	Pod                          *struct{ UID string }
	PIDs                         []int
	Axes                         at
	Findings                     []struct {
		Kind, Axis, Portal, Policy, Message string
		PID                                 int
		Evidence                            *struct {
			TID             int
			StartTime       uint64
			Command         string
			Inode, OwnInode uint64
			Owner, Check    string
			Processes       int
		}
	}
}

// scanJSON calls the command and reads its JSON.
func scanJSON(t *testing.T, args ...string) (scanned, outcome) {
	t.Helper()
	o := run(t, append(args, "-o", "json")...)
	var s scanned
	d := json.NewDecoder(strings.NewReader(o.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatalf("standard output is no such JSON: %v\n%s\n%s", err, o.out, o.errOut)
	}
	return s, o
}

// container finds one by its ID.
func (s scanned) container(t *testing.T, id string) scannedContainer {
	t.Helper()
	for _, c := range s.Containers {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no container %s in %+v", id, s.Containers)
	return scannedContainer{}
}

// levels in the order of the axes.
func (a at) levels() string {
	var all []string
	for _, axis := range []string{"pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"} {
		all = append(all, a[axis].Level)
	}
	return strings.Join(all, " ")
}

func (c scannedContainer) levels() string { return c.Axes.levels() }

// kinds of a container's findings with their axes.
func (c scannedContainer) kinds() string {
	var all []string
	for _, f := range c.Findings {
		all = append(all, f.Kind+" "+f.Axis)
	}
	return strings.Join(all, ", ")
}

func wantContains(t *testing.T, where, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", where, w, text)
		}
	}
}

func want[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

const (
	podsGroup = "0::/kubepods.slice/kubepods-pod6a3cd1cd_1f5c_4b0e_8e0b_3d4d1f9d5e11.slice/cri-containerd-"

	apart = "Container Pod Pod Pod Container Host Container Host"
)

// alone is the process of a container of its own.
func alone(pid int, cgroup string) proctest.Process {
	return proctest.Process{PID: pid, PPID: 1, Cgroup: cgroup, NS: proctest.Pod(uint64(pid), 1)}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// escapedTree has a container of which one process is in the machine's network and mount
// namespaces, beside one that is well.
func escapedTree(t *testing.T) *proctest.Tree {
	t.Helper()
	tree := proctest.New(t)
	docker := func(digit string) string { return "0::/system.slice/docker-" + proctest.ID(digit) + ".scope" }
	own := proctest.Pod(100, 1)
	escaped := own.With(proctest.Net, proctest.Node[proctest.Net]).With(proctest.Mnt, proctest.Node[proctest.Mnt])
	tree.Add(
		alone(100, docker("1")),
		proctest.Process{PID: 101, PPID: 100, Cgroup: docker("1"), Comm: "sh\x1b[2J", NS: escaped},
		alone(200, docker("2")),
	)
	return tree
}
