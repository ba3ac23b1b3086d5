// SPDX-License-Identifier: Apache-2.0

package proctest

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// The nodes are described in nodes/README.md.
//
//go:embed nodes/*.txtar
var nodes embed.FS

// Machine is a node or host as a container runtime leaves it.
type Machine struct {
	// Name of the file, which tells runtime, driver and version of cgroups.
	Name string
	Tree *Tree
	// Containers are all that are there, in order of their IDs.
	Containers []Seen
}

// Seen is a container as it is to be seen. Runtime and Pod are empty if nothing tells them.
type Seen struct {
	ID, Runtime, Pod string
	Sandbox          bool
	PIDs             []int
}

// Machines are all of them, each with a tree of its own.
func Machines(t *testing.T) []Machine {
	t.Helper()
	names, err := fs.Glob(nodes, "nodes/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no nodes: %v", err)
	}
	machines := make([]Machine, 0, len(names))
	for _, name := range names {
		text, err := nodes.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := Machine{Name: strings.TrimSuffix(strings.TrimPrefix(name, "nodes/"), ".txtar"), Tree: New(t)}
		for _, f := range txtar.Parse([]byte(expanded(string(text)))).Files {
			if err := m.add(f.Name, string(f.Data)); err != nil {
				t.Fatalf("%s: %s: %v", name, f.Name, err)
			}
		}
		slices.SortFunc(m.Containers, func(a, b Seen) int { return strings.Compare(a.ID, b.ID) })
		machines = append(machines, m)
	}
	return machines
}

var twoDigits = regexp.MustCompile(`<[0-9a-f]{2}>`)

// expanded writes out IDs: <a1> stands for the 64 digits a1a1….
func expanded(text string) string {
	return twoDigits.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(s[1:3], 32) })
}

// add takes over one file: a process, or the list of containers.
func (m *Machine) add(name, text string) error {
	if name == "containers" {
		for line := range strings.Lines(text) {
			seen, err := parseSeen(strings.Fields(line))
			if err != nil {
				return fmt.Errorf("%w: %q", err, line)
			}
			m.Containers = append(m.Containers, seen)
		}
		return nil
	}
	pid, err := strconv.Atoi(name)
	if err != nil {
		return fmt.Errorf("neither a process number nor containers: %w", err)
	}
	p := Process{PID: pid, NS: Node}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "comm":
			p.Comm = value
		case "ppid":
			p.PPID, err = strconv.Atoi(value)
		case "cgroup":
			p.Cgroup = strings.TrimPrefix(p.Cgroup+"\n"+value, "\n")
		case "uid_map":
			p.UIDMap += value + "\n"
		case "ns":
			err = p.NS.set(strings.Fields(value))
		default:
			err = fmt.Errorf("no such key: %q", key)
		}
		if err != nil {
			return err
		}
	}
	if pid == 1 && p.NS != Node {
		m.Tree.Remove(2) // a node made of namespaces shows no threads of the kernel
	}
	m.Tree.Add(p)
	return nil
}

// set takes over links as they are read: "net:[4026532000]".
func (n *Namespaces) set(links []string) error {
	for _, link := range links {
		kind, inode, _ := strings.Cut(strings.TrimSuffix(link, "]"), ":[")
		i := slices.Index(kinds[:], kind)
		number, err := strconv.ParseUint(inode, 10, 64)
		if i < 0 || err != nil {
			return fmt.Errorf("not a link of a namespace: %q", link)
		}
		n[i] = number
	}
	return nil
}

// parseSeen parses "PIDS RUNTIME POD ID [sandbox]", where - is none.
func parseSeen(fields []string) (Seen, error) {
	if len(fields) < 4 || len(fields) > 5 {
		return Seen{}, fmt.Errorf("not PIDS RUNTIME POD ID [sandbox]")
	}
	or := func(s string) string { return strings.TrimPrefix(s, "-") }
	seen := Seen{Runtime: or(fields[1]), Pod: or(fields[2]), ID: fields[3], Sandbox: len(fields) == 5}
	for _, text := range strings.Split(fields[0], ",") {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return Seen{}, err
		}
		seen.PIDs = append(seen.PIDs, pid)
	}
	return seen, nil
}
