// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

// watch starts the command, to be interrupted.
func watch(t *testing.T, args ...string) (c *exec.Cmd, out io.Reader, errOut *strings.Builder) {
	t.Helper()
	c = program(nil, append(args, "--watch", "--interval", "1s")...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errOut = &strings.Builder{}
	c.Stderr = errOut
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // if it has not ended by then
	return c, out, errOut
}

// interrupt ends the command as Ctrl-C does, and tells its exit code.
func interrupt(t *testing.T, c *exec.Cmd, rest io.Reader) int {
	t.Helper()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, rest); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the code says it
	return c.ProcessState.ExitCode()
}

// escape puts the second process of the container in [escapedTree] where it belongs, or not.
func escape(tree *proctest.Tree, escaped bool) {
	own := proctest.Pod(100, 1)
	if escaped {
		own = own.With(proctest.Net, proctest.Node[proctest.Net])
	}
	tree.Add(proctest.Process{PID: 101, PPID: 100, Cgroup: "0::/docker/" + proctest.ID("1"), NS: own})
}

// watchedTree is a container of two processes that is well.
func watchedTree(t *testing.T) *proctest.Tree {
	t.Helper()
	tree := proctest.New(t)
	tree.Add(alone(100, "0::/docker/"+proctest.ID("1")))
	escape(tree, false)
	return tree
}

func TestWatchWritesAnObjectForEachChange(t *testing.T) {
	t.Parallel()
	tree := watchedTree(t)
	c, out, _ := watch(t, "--proc", tree.Root, "-o", "json")
	d := json.NewDecoder(out)
	next := func() scannedContainer {
		t.Helper()
		var s scanned
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s.container(t, proctest.ID("1"))
	}
	want(t, "findings at first", next().kinds(), "")
	// That other processes come is no change.
	tree.Add(proctest.Process{PID: 102, PPID: 100, Cgroup: "0::/docker/" + proctest.ID("1"), NS: proctest.Pod(100, 1)})
	escape(tree, true)
	changed := next()
	// What is seen once is a level, and a finding in the look after that.
	want(t, "network", changed.Axes["network"].Level, "Host")
	for changed.kinds() != "Escape network" {
		changed = next()
	}
	escape(tree, false)
	want(t, "findings at last", next().kinds(), "")
	want(t, "exit code", interrupt(t, c, io.MultiReader(d.Buffered(), out)), 0)
}

func TestWatchEndsWithTheCodeOfTheLastLook(t *testing.T) {
	t.Parallel()
	tree := escapedTree(t)
	c, out, _ := watch(t, "--proc", tree.Root, "-o", "yaml")
	lines := bufio.NewReader(out)
	var document strings.Builder
	for !strings.Contains(document.String(), "unshared:") { // the last key
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, document.String())
		}
		document.WriteString(line)
	}
	want(t, "beginning", strings.HasPrefix(document.String(), "---\n"), true)
	var s scanned
	if err := yaml.Unmarshal([]byte(document.String()), &s); err != nil {
		t.Fatal(err)
	}
	want(t, "findings", s.container(t, proctest.ID("1")).kinds(), "Escape mount, Escape network")
	want(t, "exit code", interrupt(t, c, lines), 1)
}

func TestWatchTellsNothingTwice(t *testing.T) {
	t.Parallel()
	tree := watchedTree(t)
	c, out, errOut := watch(t, "--proc", tree.Root)
	lines := bufio.NewScanner(out)
	read := func(until string) string {
		t.Helper()
		var text strings.Builder
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), until) {
				return text.String()
			}
		}
		t.Fatalf("no %q in %q", until, text.String())
		return ""
	}
	first := read("1 container: ")
	wantContains(t, "the first table", first, ", every 1s until interrupted\nCONTAINER ", "nothing found to be wrong")
	escape(tree, true)
	second := read(": 1 Escape")
	want(t, "tables that say that all is well", strings.Count(second, "\n111111111111  Container  Pod "), 0)
	if strings.Contains(first+second, "\x1b") {
		t.Errorf("escape sequences in a pipe: %q", first+second)
	}
	want(t, "exit code", interrupt(t, c, out), 1)
	want(t, "standard error", errOut.String(), "")
}

func TestWatchRedrawsATerminal(t *testing.T) {
	t.Parallel()
	tree := watchedTree(t)
	outer, inner := terminal(t, 80)
	c := program(nil, "--proc", tree.Root, "--watch", "--interval", "1s")
	c.Stdout = inner
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = inner.Close()
	var text strings.Builder
	buffer := make([]byte, 4096)
	// Two times the same, each from the upper left corner.
	for strings.Count(text.String(), "\x1b[H\x1b[2J") < 2 || strings.Count(text.String(), "nothing found to be wrong") < 2 {
		n, err := outer.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q", err, text.String())
		}
		text.Write(buffer[:n])
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the code says it
	want(t, "exit code", c.ProcessState.ExitCode(), 0)
}
