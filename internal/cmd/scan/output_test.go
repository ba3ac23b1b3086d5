// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

func TestTableTellsAContainerARowAndAnAxisAColumn(t *testing.T) {
	t.Parallel()
	o := run(t, "--proc", escapedTree(t).Root)
	const table = `CONTAINER     PID        NETWORK  IPC  UTS  MOUNT      USER  CGROUP     TIME
111111111111  Container  Host     Pod  Pod  Host       Host  Container  Host
222222222222  Container  Pod      Pod  Pod  Container  Host  Container  Host

FINDING  CONTAINER     ABOUT    MESSAGE
Escape   111111111111  mount    process 101 ("sh\x1b[2J") is in the node's mount namespace; its container started at mount Container
Escape   111111111111  network  process 101 ("sh\x1b[2J") is in the node's network namespace; its container started at network Pod

2 containers: 2 Escape
`
	want(t, "standard output", o.out, table)
	want(t, "exit code", o.code, 1)
}

func TestWideTellsWhoseProcessesAndWhatShowsAFinding(t *testing.T) {
	t.Parallel()
	tree := escapedTree(t)
	pause, app := alone(300, podsGroup+proctest.ID("3")+".scope"), alone(310, podsGroup+proctest.ID("4")+".scope")
	app.NS = proctest.Pod(300, 2)
	tree.Add(pause, app)
	for pid := 311; pid < 316; pid++ {
		tree.Add(proctest.Process{PID: pid, PPID: 310, Cgroup: app.Cgroup, NS: app.NS})
	}
	o := run(t, "--proc", tree.Root, "-o", "wide", "--sandboxes")
	for _, row := range []string{
		`CONTAINER     RUNTIME     POD                                   PIDS                     COMMAND  PID        NETWORK  IPC  UTS  MOUNT      USER  CGROUP     TIME  CGROUP`,
		`111111111111  docker      -                                     100,101                  sleep    Container  Host     Pod  Pod  Host       Host  Container  Host  /system.slice/docker-` + proctest.ID("1") + ".scope",
		`333333333333  containerd  6a3cd1cd-1f5c-4b0e-8e0b-3d4d1f9d5e11  300                      sleep    sandbox    -        -    -    -          -     -          -     ` + strings.TrimPrefix(pause.Cgroup, "0::"),
		`444444444444  containerd  6a3cd1cd-1f5c-4b0e-8e0b-3d4d1f9d5e11  310,311,312,313 and 2 more  sleep `,
		`FINDING  CONTAINER     ABOUT    PID  INODE       OWNER  CHECK`,
		`Escape   111111111111  network  101  4026531833  node   readlink /proc/101/ns/net`,
	} {
		// How wide a column is, is another matter.
		if !strings.Contains(spaced(o.out), spaced(row)) {
			t.Errorf("no row %q in\n%s", row, o.out)
		}
	}
}

func spaced(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestTableFitsATerminal(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	long := strings.Repeat("web-", 20)
	tree.Add(
		alone(100, "0::/lxc.payload."+long),
		alone(200, "0::/docker/"+proctest.ID("2")),
	)
	// The widest levels that there are, on every axis.
	dark := alone(300, "0::/docker/"+proctest.ID("3"))
	for kind := range dark.NS {
		dark.NS[kind] = 0
	}
	own := alone(310, "0::/docker/"+proctest.ID("4"))
	own.NS[proctest.Time] = 0xF1000000
	for _, c := range []struct {
		what string
		add  []proctest.Process
		want []string
	}{
		{"levels as usual", nil, []string{"\nweb-web-web-w...  ", "\n222222222222  "}},
		{"what nobody could read", []proctest.Process{dark}, []string{"\nweb-web-we ", "\n2222222222 "}},
		{"the widest levels", []proctest.Process{own}, []string{"\nweb-web- ", "\n22222222 "}},
	} {
		tree.Add(c.add...)
		o := run(t, "--proc", tree.Root)
		matrix, _, _ := strings.Cut(o.out, "\n\n")
		for _, line := range strings.Split(matrix, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: %d columns: %s", c.what, len(line), line)
			}
		}
		wantContains(t, c.what, matrix, c.want...)
	}
	wantContains(t, "wide", run(t, "--proc", tree.Root, "-o", "wide").out, "\n"+long+" ")
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

func TestTextOfProcessesReachesNoTerminal(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	const hostile = "\x1b[2J\u009b2J\u202e"
	name := "0::/lxc.payload." + hostile
	own := proctest.Pod(100, 1)
	tree.Add(
		alone(100, name),
		proctest.Process{PID: 200, PPID: 1, Comm: hostile, NS: proctest.Node.With(proctest.Net, 0xF2000000)},
		proctest.Process{PID: 101, PPID: 100, Cgroup: name, Comm: hostile, NS: own.With(proctest.UTS, proctest.Node[proctest.UTS])},
	)
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		o := run(t, "--proc", tree.Root, "-o", format)
		want(t, "exit code", o.code, 1)
		for _, r := range o.out + o.errOut {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("%U reached the terminal:\n%q", r, o.out+o.errOut)
			}
		}
	}
}
