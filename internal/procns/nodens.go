// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Witness says who testified which namespace is the node's own.
type Witness string

// The witnesses, in the order in which they are asked.
const (
	// WitnessNone: nobody; see [NodeSet.Err].
	WitnessNone Witness = ""
	// WitnessPID1: the first process of the tree's pid namespace, which is the node's by
	// definition. Its links can be unreadable even to root with CAP_SYS_PTRACE, where a security
	// module or a hypervisor's init wants it so.
	WitnessPID1 Witness = "pid1"
	// WitnessKthreadd: the kernel thread that starts all others, which is in the kernel's initial
	// namespaces. It is number 2 of the initial pid namespace (init/main.c, rest_init) and of no
	// other, so where it shows, this /proc is the bare machine's. Other kernel threads will not do:
	// kdevtmpfs makes itself a mount namespace (drivers/base/devtmpfs.c, devtmpfs_setup).
	WitnessKthreadd Witness = "kthreadd"
	// WitnessInitialInode: the number that the kernel gives to its initial namespace of the kind;
	// taken only where this /proc is known to be the bare machine's.
	WitnessInitialInode Witness = "initial-inode"
	// WitnessSelf: the reader itself, for the pid namespace only: if its NSpid in this tree has one
	// column, it is in the pid namespace that the tree shows.
	WitnessSelf Witness = "self"
)

// NodeNamespaces are the namespaces of the node whose processes the tree shows: the namespaces of
// its PID 1. What "the node" is depends on whose /proc is read: from a container that does not
// share the node's pid namespace it is that container. The caller has to read a /proc of the node.
type NodeNamespaces struct {
	// Sets are the node's own namespaces by kind, and how they were established.
	Sets [NumKinds]NodeSet

	// Initial are the kernel's initial namespaces by kind, zero where not known. On a nested node
	// they are another host's: a container in one of them has got out of the node as well – unless
	// the node itself shares it.
	//
	// They are those of kthreadd if it is readable, else the numbers that the kernel reserves
	// (include/uapi/linux/nsfs.h, before that include/linux/proc_ns.h): for ipc, uts, user and pid
	// since 3.8, for cgroup and time since these exist, for net and mnt since 6.17. Namespaces that
	// are made later have numbers from 0xF0000000 (fs/proc/generic.c, PROC_DYNAMIC_FIRST), so
	// nobody can pretend to one of them.
	Initial [NumKinds]ID

	// Nested says that the node is not the bare machine: its pid namespace is not the kernel's
	// initial one, as with kind or any node made of namespaces. It is false as well if nothing is
	// known, and then no set has an ID.
	Nested bool
}

// NodeSet are the namespaces of one kind that are the node's own.
type NodeSet struct {
	// IDs has PID 1's first. On the bare machine the kernel's initial one is the node's as well,
	// should PID 1 have another. Services of the node can be in more of their own (mount namespaces
	// above all): these are not found here.
	IDs []ID
	// Witness is who established the first ID.
	Witness Witness
	// Err says why there is no ID: what each witness said. It matches [ErrUnsupported] if the
	// kernel has no namespaces of this kind.
	Err error
}

// Has says whether a namespace is one of the set. The zero ID never is.
func (s NodeSet) Has(id ID) bool { return id != ID{} && slices.Contains(s.IDs, id) }

// initialInodes are the numbers reserved for the initial namespaces.
var initialInodes = [NumKinds]uint64{
	PID:    0xEFFFFFFC,
	Net:    0xEFFFFFF9,
	IPC:    0xEFFFFFFF,
	UTS:    0xEFFFFFFE,
	Mnt:    0xEFFFFFF8,
	User:   0xEFFFFFFD,
	Cgroup: 0xEFFFFFFB,
	Time:   0xEFFFFFFA,
}

// NodeNamespaces finds out which namespaces are the node's own. It tells what it could not find out
// in the sets, by kind.
func (f *FS) NodeNamespaces() NodeNamespaces {
	return f.gatherNode().judge()
}

// nodeEvidence is what the witnesses say.
type nodeEvidence struct {
	dev uint64

	init     Namespaces // PID 1's
	initSeen bool       // PID 1 is in the tree

	kthreadd     Namespaces
	kthreaddSeen bool // number 2 is in the tree and is a kernel thread

	self     Link // the reader's pid namespace
	selfHome bool // the reader is in the pid namespace that the tree shows

	newInodes bool // the kernel reserves numbers for net and mnt as well
}

func (f *FS) gatherNode() nodeEvidence {
	e := nodeEvidence{dev: f.dev}
	e.init, e.initSeen = f.witness(1, func(Stat) bool { return true })
	e.kthreadd, e.kthreaddSeen = f.witness(2, func(s Stat) bool {
		return s.KernelThread() && s.PPID == 0
	})
	e.self, e.selfHome = f.selfWitness()
	if release, err := f.KernelRelease(); err == nil {
		e.newInodes = reservesNetAndMnt(release)
	}
	return e
}

// witness reads the links of a process, if it is in the tree and is who it should be.
func (f *FS) witness(pid int, is func(Stat) bool) (links Namespaces, seen bool) {
	fail := func(err error) (Namespaces, bool) {
		for k := range links {
			links[k] = Link{Err: err}
		}
		return links, false
	}
	p, err := f.Process(pid)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = p.Close() }() // nothing was written
	stat, err := p.Stat()
	if err != nil {
		return fail(err)
	}
	if !is(stat) {
		return fail(fmt.Errorf("%v is %q, no kernel thread", p, stat.Comm))
	}
	return p.Namespaces(), true
}

// selfWitness reads the reader's own pid namespace. The link /proc/self is the reader's number in
// the pid namespace that the tree shows; it leads nowhere if the reader is not in that namespace or
// below it.
func (f *FS) selfWitness() (link Link, home bool) {
	text, err := f.readlink(f.fd, "self")
	if err != nil {
		return Link{Err: f.failed("readlink", "self", err)}, false
	}
	pid, ok := parseInt(text)
	if !ok {
		return Link{Err: f.failed("readlink", "self", malformed("not a process number", text))}, false
	}
	p, err := f.Process(pid)
	if err != nil {
		return Link{Err: err}, false
	}
	defer func() { _ = p.Close() }() // nothing was written
	link.ID, link.Err = p.Namespace(PID)
	status, err := p.Status()
	return link, err == nil && len(status.NSpid) == 1
}

// judge draws the conclusions.
func (e nodeEvidence) judge() NodeNamespaces {
	var n NodeNamespaces
	bare := e.bare()
	n.Nested = !bare && (e.initSeen || e.selfHome)
	for k := range Kind(NumKinds) {
		n.Initial[k] = e.initial(k)
		n.Sets[k] = e.set(k, bare, n.Initial[k])
	}
	return n
}

// bare says whether it is known that the tree shows the kernel's initial pid namespace, the node
// being the bare machine. Any of these proves it: kthreadd is in the tree; PID 1's pid namespace
// has the initial one's number; the reader's has – then the tree, which shows the reader, shows
// that namespace or one above, and there is none above.
func (e nodeEvidence) bare() bool {
	initial := func(l Link) bool { return l.Err == nil && l.ID.Ino == initialInodes[PID] }
	return e.kthreaddSeen || initial(e.init[PID]) || initial(e.self)
}

// initial gives the kernel's initial namespace of a kind, zero if not known.
func (e nodeEvidence) initial(k Kind) ID {
	if e.kthreaddSeen && e.kthreadd[k].Err == nil {
		return e.kthreadd[k].ID
	}
	if (k == Net || k == Mnt) && !e.newInodes {
		return ID{}
	}
	return ID{Dev: e.dev, Ino: initialInodes[k]}
}

// set establishes the node's own namespaces of one kind.
func (e nodeEvidence) set(k Kind, bare bool, initial ID) NodeSet {
	init := e.init[k]
	switch {
	case init.Err == nil:
		set := NodeSet{IDs: []ID{init.ID}, Witness: WitnessPID1}
		if bare && initial != (ID{}) && initial != init.ID {
			set.IDs = append(set.IDs, initial)
		}
		return set
	case errors.Is(init.Err, ErrUnsupported):
		return NodeSet{Err: init.Err}
	case e.kthreaddSeen && e.kthreadd[k].Err == nil:
		return NodeSet{IDs: []ID{e.kthreadd[k].ID}, Witness: WitnessKthreadd}
	case bare && initial != ID{}:
		return NodeSet{IDs: []ID{initial}, Witness: WitnessInitialInode}
	case k == PID && e.selfHome && e.self.Err == nil:
		return NodeSet{IDs: []ID{e.self.ID}, Witness: WitnessSelf}
	}
	return NodeSet{Err: e.unknown(k, bare)}
}

// unknown tells what each witness said.
func (e nodeEvidence) unknown(k Kind, bare bool) error {
	why := "this /proc is not known to be the bare machine's, " +
		"so the kernel's initial namespace need not be the node's"
	if bare {
		why = "this kernel, older than 6.17, reserves no number for its initial one"
	}
	return fmt.Errorf("the node's own %s namespace is not known: PID 1: %w; kthreadd: %w; %s",
		k, e.init[k].Err, e.kthreadd[k].Err, why)
}

// reservesNetAndMnt says, from a kernel's release ("6.18.0-amd64"), whether its initial network and
// mount namespaces have fixed numbers, which they have from 6.17 on (commits 9b0240b3ccc3 and
// 7f4f229195b7). Of a kernel that got them by backport it is not known.
func reservesNetAndMnt(release string) bool {
	const major, minor = 6, 17
	first, rest, _ := strings.Cut(release, ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(rest[:digits])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}
