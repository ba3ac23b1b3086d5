// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

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
}

type scannedContainer struct {
	ID, Runtime string
	Sandbox     bool
	Pod         *struct{ UID string }
	PIDs        []int
	Axes        map[string]struct {
		Level  string
		Inode  uint64
		Reason string
	}
	Findings []struct {
		Kind, Axis, Policy, Message string
		PID                         int
		Evidence                    *struct {
			TID             int
			StartTime       uint64
			Command         string
			Inode, OwnInode uint64
			Owner           string
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

// levels of a container in the order of the axes.
func (c scannedContainer) levels() string {
	var all []string
	for _, a := range []string{"pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"} {
		all = append(all, c.Axes[a].Level)
	}
	return strings.Join(all, " ")
}

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
	podUID    = "6a3cd1cd-1f5c-4b0e-8e0b-3d4d1f9d5e11"
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

func TestKnowsTheContainersOfEveryRuntime(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	id := proctest.ID
	tree.Add(
		alone(100, "0::/system.slice/docker-"+id("1")+".scope"),
		alone(200, "0::/machine.slice/libpod-"+id("2")+".scope/container"),
		alone(300, podsGroup+id("3")+".scope"),
		alone(400, "0::/lxc.payload.web"),
		proctest.Process{PID: 500, PPID: 1, Cgroup: "0::/system.slice/sshd.service", NS: proctest.Node},
	)
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "standard error", o.errOut, "")
	want(t, "containers", len(s.Containers), 4)
	for _, c := range []struct {
		id, runtime, pod string
		pid              int
	}{{id("1"), "docker", "", 100}, {id("2"), "podman", "", 200}, {id("3"), "containerd", podUID, 300}, {"web", "lxc", "", 400}} {
		got := s.container(t, c.id)
		want(t, "runtime of "+c.id, got.Runtime, c.runtime)
		want(t, "levels of "+c.id, got.levels(), apart)
		want(t, "findings of "+c.id, got.kinds(), "")
		want(t, "inode of "+c.id, got.Axes["pid"].Inode, proctest.Pod(uint64(c.pid), 1)[proctest.PID])
		if len(got.PIDs) != 1 || got.PIDs[0] != c.pid {
			t.Errorf("processes of %s: %v", c.id, got.PIDs)
		}
		if (got.Pod == nil) != (c.pod == "") || got.Pod != nil && got.Pod.UID != c.pod {
			t.Errorf("pod of %s: %+v", c.id, got.Pod)
		}
	}
}

func TestTellsTheNode(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "boot", s.Node.BootID, "11111111-2222-4333-8444-555555555555")
	want(t, "kernel", s.Node.KernelVersion, "6.18.0-test")
	want(t, "nested", s.Node.Nested, false)
	want(t, "axes", len(s.Node.Axes), 8)
	network := s.Node.Axes["network"]
	want(t, "witness", network.Witness, "pid1")
	want(t, "reason", network.Reason, "")
	if len(network.Inodes) != 1 || network.Inodes[0] != proctest.Node[proctest.Net] {
		t.Errorf("inodes: %v", network.Inodes)
	}
}

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	t.Parallel()
	tree := escapedTree(t)
	asJSON, asYAML := run(t, "--proc", tree.Root, "-o", "json"), run(t, "--proc", tree.Root, "-o", "yaml")
	converted, err := yaml.YAMLToJSON([]byte(asYAML.out))
	if err != nil {
		t.Fatal(err)
	}
	var one, other any
	if err := errors.Join(json.Unmarshal([]byte(asJSON.out), &one), json.Unmarshal(converted, &other)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(one, other) || asYAML.code != asJSON.code {
		t.Errorf("%s\nwant\n%s", asYAML.out, asJSON.out)
	}
}

func TestSaysSoIfThereAreNoContainers(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	o := run(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "standard output", o.out, "no containers\n")
	wantContains(t, "standard error", o.errOut, "no containers found: none of the 2 processes in "+tree.Root)
	s, _ := scanJSON(t, "--proc", tree.Root)
	if s.Containers == nil {
		t.Error("containers is null in JSON, want an empty list")
	}
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

func TestFindsAnEscape(t *testing.T) {
	t.Parallel()
	s, o := scanJSON(t, "--proc", escapedTree(t).Root)
	want(t, "exit code", o.code, 1)
	c := s.container(t, proctest.ID("1"))
	want(t, "levels", c.levels(), "Container Host Pod Pod Host Host Container Host")
	want(t, "findings", c.kinds(), "Escape mount, Escape network")
	f := c.Findings[1]
	want(t, "process", f.PID, 101)
	wantContains(t, "the message", f.Message, "process 101", "the node's network namespace", "started at network Pod")
	if f.Evidence == nil {
		t.Fatal("no evidence")
	}
	want(t, "inode", f.Evidence.Inode, proctest.Node[proctest.Net])
	want(t, "own inode", f.Evidence.OwnInode, proctest.Pod(100, 1)[proctest.Net])
	want(t, "owner", f.Evidence.Owner, "node")
	want(t, "processes", f.Evidence.Processes, 1)
	want(t, "findings of the other", s.container(t, proctest.ID("2")).kinds(), "")
}

func TestTableTellsAContainerARowAndAnAxisAColumn(t *testing.T) {
	t.Parallel()
	o := run(t, "--proc", escapedTree(t).Root)
	const table = `CONTAINER     RUNTIME  POD  PROCESSES  PID        NETWORK  IPC  UTS  MOUNT      USER  CGROUP     TIME
111111111111  docker   -    2          Container  Host     Pod  Pod  Host       Host  Container  Host
222222222222  docker   -    1          Container  Pod      Pod  Pod  Container  Host  Container  Host

FINDING  CONTAINER     AXIS/PORTAL  POLICY  MESSAGE
Escape   111111111111  mount        -       process 101 ("sh\x1b[2J") is in the node's mount namespace; its container started at mount Container
Escape   111111111111  network      -       process 101 ("sh\x1b[2J") is in the node's network namespace; its container started at network Pod

2 containers: 2 Escape
`
	want(t, "standard output", o.out, table)
	want(t, "exit code", o.code, 1)
}

func TestFindsANamespaceOfAnotherPod(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	intruder := alone(200, "0::/docker/"+proctest.ID("2"))
	intruder.NS[proctest.Net] = proctest.Pod(100, 1)[proctest.Net]
	tree.Add(alone(100, "0::/docker/"+proctest.ID("1")), intruder)
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 1)
	want(t, "findings of the owner", s.container(t, proctest.ID("1")).kinds(), "")
	c := s.container(t, proctest.ID("2"))
	want(t, "findings of the intruder", c.kinds(), "Foreign network")
	want(t, "level", c.Axes["network"].Level, "Foreign")
	wantContains(t, "the owner", c.Findings[0].Evidence.Owner, proctest.ID("1"))
}

func TestSandboxesAreNoRows(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	pause := alone(300, podsGroup+proctest.ID("3")+".scope")
	app := proctest.Process{PID: 310, PPID: 1, Cgroup: podsGroup + proctest.ID("4") + ".scope", NS: proctest.Pod(300, 2)}
	tree.Add(pause, app)
	t.Run("by default", func(t *testing.T) {
		t.Parallel()
		s, _ := scanJSON(t, "--proc", tree.Root)
		want(t, "containers", len(s.Containers), 1)
		want(t, "levels", s.container(t, proctest.ID("4")).levels(), apart)
	})
	t.Run("unless asked for", func(t *testing.T) {
		t.Parallel()
		s, _ := scanJSON(t, "--proc", tree.Root, "--sandboxes")
		want(t, "containers", len(s.Containers), 2)
		c := s.container(t, proctest.ID("3"))
		want(t, "sandbox", c.Sandbox, true)
		want(t, "levels", strings.TrimSpace(c.levels()), "")
	})
}

func TestWhatCannotBeReadIsUnknownAndSaid(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	dark := alone(100, "0::/docker/"+proctest.ID("1"))
	dark.NS[proctest.Net], dark.NS[proctest.Mnt] = 0, 0
	tree.Add(dark, alone(200, "0::/docker/"+proctest.ID("2")))
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	c := s.container(t, proctest.ID("1"))
	want(t, "levels", c.levels(), "Container Unknown Pod Pod Unknown Host Container Host")
	want(t, "findings", c.kinds(), "Unverified mount, Unverified network")
	wantContains(t, "the reason", c.Axes["network"].Reason, "100/ns/net")
	wantContains(t, "standard error", o.errOut, "2 axes of 1 container could not be read", "as root")
}

func TestTableTellsOnceWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	dark := alone(100, "0::/docker/"+proctest.ID("1"))
	dark.NS[proctest.Net], dark.NS[proctest.Mnt] = 0, 0
	tree.Add(dark)
	o := run(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	want(t, "rows", strings.Count(o.out, "Unverified"), 1)
	wantContains(t, "standard output", o.out, "mount,network", "1 container: nothing found to be wrong; not everything could be read")
}

const required = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: tenants}
spec:
  match: {namespaceSelector: {matchLabels: {nobody: has-this}}}
  isolation: {network: Pod, user: Pod}
  admission: {action: Deny}
`

func TestHoldsAPolicyAgainstEveryContainer(t *testing.T) {
	t.Parallel()
	s, o := scanJSON(t, "--proc", escapedTree(t).Root, "--policy", file(t, required))
	want(t, "exit code", o.code, 1)
	wantContains(t, "standard error", o.errOut, "their match, exemptions and portals are left aside")
	c := s.container(t, proctest.ID("2"))
	want(t, "findings", c.kinds(), "Breach user")
	want(t, "policy", c.Findings[0].Policy, "tenants")
	wantContains(t, "the message", c.Findings[0].Message, "user was observed as Host, Pod is required")
	t.Run("and one cause is one finding", func(t *testing.T) {
		c := s.container(t, proctest.ID("1"))
		want(t, "findings", c.kinds(), "Escape mount, Escape network, Breach user")
		wantContains(t, "the message", c.Findings[1].Message, "policy tenants: network was observed as Host, Pod is required")
	})
}

func TestRefusesABadCall(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a folder that is not there":               {[]string{"--proc", filepath.Join(tree.Root, "missing")}, "missing"},
		"a folder that is no procfs":               {[]string{"--proc", t.TempDir()}, "mount -t proc"},
		"an output that does not exist":            {[]string{"--proc", tree.Root, "-o", "xml"}, `--output "xml": it can be table, json or yaml`},
		"an argument":                              {[]string{tree.Root}, "unknown command"},
		"a policy that is not there":               {[]string{"--proc", tree.Root, "--policy", "missing.yaml"}, "missing.yaml: cannot be read"},
		"a policy that an API server would refuse": {[]string{"--proc", tree.Root, "--policy", file(t, strings.Replace(required, "action: Deny", "action: Deny, engine: Gatekeeper", 1))}, `"Gatekeeper"`},
		"a policy that is none":                    {[]string{"--proc", tree.Root, "--policy", file(t, "apiVersion: v1\nkind: Pod\n")}, "holds no IsolationPolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := run(t, c.args...)
			want(t, "exit code", o.code, 2)
			want(t, "standard output", o.out, "")
			wantContains(t, "standard error", o.errOut, c.want)
		})
	}
}

func TestTextOfProcessesReachesNoTerminal(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	const hostile = "\x1b[2J\u009b2J\u202e"
	name := "0::/lxc.payload." + hostile
	own := proctest.Pod(100, 1)
	tree.Add(
		alone(100, name),
		proctest.Process{PID: 101, PPID: 100, Cgroup: name, Comm: hostile, NS: own.With(proctest.UTS, proctest.Node[proctest.UTS])},
	)
	for _, format := range []string{"table", "json"} {
		o := run(t, "--proc", tree.Root, "-o", format)
		want(t, "exit code", o.code, 1)
		for _, r := range o.out + o.errOut {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("%U reached the terminal:\n%q", r, o.out+o.errOut)
			}
		}
	}
}
