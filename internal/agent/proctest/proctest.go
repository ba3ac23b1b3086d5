// SPDX-License-Identifier: Apache-2.0

// Package proctest makes, for tests, trees of plain files that look like a node's /proc, and what real
// processes are to have there.
package proctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Kinds of namespaces, in the order of [Namespaces].
var kinds = [8]string{"pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time"}

// Places of the kinds in [Namespaces].
const (
	PID = iota
	Net
	IPC
	UTS
	Mnt
	User
	Cgroup
	Time
)

// Namespaces are the inodes of a process's namespaces; 0 is a link that cannot be read.
type Namespaces [8]uint64

// Absent is in the place of a kind of namespace that the kernel does not have.
const Absent = 1

// Node are the namespaces of a bare machine with a recent kernel.
var Node = Namespaces{
	0xEFFFFFFC, 0xEFFFFFF9, 0xEFFFFFFF, 0xEFFFFFFE, 0xEFFFFFF8, 0xEFFFFFFD, 0xEFFFFFFB, 0xEFFFFFFA,
}

// Pod are the namespaces of a container number c of pod number p, as containerd makes them on cgroup
// v2: its own pid, mount and cgroup namespaces, the pod's network, ipc and uts, the node's user and time.
func Pod(p, c uint64) Namespaces {
	pod, own := 0xF0000000+p*1000, 0xF0000000+p*1000+c*10
	return Namespaces{own + 1, pod + 2, pod + 3, pod + 4, own + 5, Node[User], own + 6, Node[Time]}
}

// With is n with one kind replaced.
func (n Namespaces) With(kind int, inode uint64) Namespaces {
	n[kind] = inode
	return n
}

// Process is a process of the tree. The zero value of a field means what is usual.
type Process struct {
	PID, PPID int
	// Start in clock ticks; 0 means ten times the PID.
	Start uint64
	// Session is the process that leads its session; 0 means itself.
	Session int
	Comm    string
	// State is S if empty.
	State string
	// Kernel makes it a kernel thread.
	Kernel bool
	// Cgroup is the text of the file without its last newline; "0::/" if empty.
	Cgroup string
	NS     Namespaces
	// UIDMap is the text of the file; the identity if empty.
	UIDMap string
	// Threads beside the first one.
	Threads []Process
}

// Tree is a directory that looks like /proc.
type Tree struct {
	t    testing.TB
	Root string
}

// New makes a tree of a bare machine: its first process and kthreadd are there.
func New(t testing.TB) *Tree {
	t.Helper()
	tree := &Tree{t: t, Root: t.TempDir()}
	tree.file("sys/kernel/random/boot_id", "11111111-2222-4333-8444-555555555555\n")
	tree.file("sys/kernel/osrelease", "6.18.0-test\n")
	tree.file("stat", "cpu  1 2 3\nbtime 1700000000\n")
	tree.Add(
		Process{PID: 1, Comm: "systemd", NS: Node, Cgroup: "0::/init.scope"},
		Process{PID: 2, Comm: "kthreadd", NS: Node, Kernel: true},
	)
	return tree
}

// Add puts processes into the tree, or replaces those that are there.
func (tree *Tree) Add(processes ...Process) {
	tree.t.Helper()
	for i := range processes {
		p := &processes[i]
		// A look that is taken meanwhile sees a process whole or not at all.
		whole := strconv.Itoa(p.PID)
		making := "making-" + whole
		tree.process(making, p, len(p.Threads)+1)
		for j := range p.Threads {
			tree.process(filepath.Join(making, "task", strconv.Itoa(p.Threads[j].PID)), &p.Threads[j], len(p.Threads)+1)
		}
		if len(p.Threads) > 0 {
			tree.process(filepath.Join(making, "task", whole), p, len(p.Threads)+1)
		}
		tree.Remove(p.PID)
		tree.must(os.Rename(filepath.Join(tree.Root, making), filepath.Join(tree.Root, whole)))
	}
}

// Remove takes processes out of the tree.
func (tree *Tree) Remove(pids ...int) {
	tree.t.Helper()
	for _, pid := range pids {
		name := filepath.Join(tree.Root, strconv.Itoa(pid))
		gone := filepath.Join(tree.Root, "gone-"+strconv.Itoa(pid))
		if err := os.Rename(name, gone); err == nil {
			tree.must(os.RemoveAll(gone))
		}
	}
}

// Rewrite changes the text of a process's file, of a process that stays the same.
func (tree *Tree) Rewrite(pid int, name, text string) {
	tree.t.Helper()
	tree.file(filepath.Join(strconv.Itoa(pid), name), text)
}

// Move leads a link of a process, which stays the same, into another namespace.
func (tree *Tree) Move(pid, kind int, inode uint64) {
	tree.t.Helper()
	link := filepath.Join(tree.Root, strconv.Itoa(pid), "ns", kinds[kind])
	tree.must(os.Remove(link))
	tree.must(os.Symlink(kinds[kind]+":["+strconv.FormatUint(inode, 10)+"]", link))
}

// process writes the files of a process or thread.
func (tree *Tree) process(dir string, p *Process, threads int) {
	tree.t.Helper()
	or := func(s, usual string) string {
		if s == "" {
			return usual
		}
		return s
	}
	start := p.Start
	if start == 0 {
		start = uint64(10 * p.PID)
	}
	session := p.Session
	if session == 0 {
		session = p.PID
	}
	flags := 0x400100
	if p.Kernel {
		flags |= 0x200000
	}
	tree.file(filepath.Join(dir, "stat"), fmt.Sprintf("%d (%s) %s %d 1 %d 0 -1 %d 0 0 0 0 0 0 0 0 20 0 %d 0 %d 1000 10 0 0\n",
		p.PID, or(p.Comm, "sleep"), or(p.State, "S"), p.PPID, session, flags, threads, start))
	tree.file(filepath.Join(dir, "cgroup"), or(p.Cgroup, "0::/")+"\n")
	tree.file(filepath.Join(dir, "uid_map"), or(p.UIDMap, "         0          0 4294967295\n"))
	tree.must(os.MkdirAll(filepath.Join(tree.Root, dir, "ns"), 0o755))
	for kind, inode := range p.NS {
		link := filepath.Join(tree.Root, dir, "ns", kinds[kind])
		if inode == Absent {
			continue
		}
		if inode == 0 {
			// Reading it as a link fails, as a refusal does: it lives and is not readable.
			tree.must(os.WriteFile(link, nil, 0o444))
			continue
		}
		tree.must(os.Symlink(kinds[kind]+":["+strconv.FormatUint(inode, 10)+"]", link))
	}
}

func (tree *Tree) file(name, text string) {
	tree.t.Helper()
	path := filepath.Join(tree.Root, name)
	tree.must(os.MkdirAll(filepath.Dir(path), 0o755))
	tree.must(os.WriteFile(path, []byte(text), 0o644))
}

func (tree *Tree) must(err error) {
	tree.t.Helper()
	if err != nil {
		tree.t.Fatal(err)
	}
}

// ID is a container ID made of one digit.
func ID(digit string) string { return strings.Repeat(digit, 64) }
