// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"io/fs"
	"testing"
)

// all gives links that all lead to numbers from ino on, by kind.
func all(ino uint64) (links Namespaces) {
	for k := range links {
		links[k].ID = ID{Ino: ino + uint64(k)}
	}
	return links
}

// refused gives links that may not be read.
func refused() (links Namespaces) {
	for k := range links {
		links[k].Err = fs.ErrPermission
	}
	return links
}

// initials gives links to the kernel's initial namespaces.
func initials() (links Namespaces) {
	for k := range links {
		links[k].ID = ID{Ino: initialInodes[k]}
	}
	return links
}

func set(witness Witness, inos ...uint64) NodeSet {
	s := NodeSet{Witness: witness}
	for _, ino := range inos {
		s.IDs = append(s.IDs, ID{Ino: ino})
	}
	return s
}

func TestJudgeBareMachine(t *testing.T) {
	t.Run("takes PID 1's namespaces", func(t *testing.T) {
		n := nodeEvidence{init: initials(), initSeen: true, kthreadd: initials(), kthreaddSeen: true, newInodes: true}.judge()
		equal(t, n.Nested, false)
		for k := range n.Sets {
			equal(t, n.Sets[k], set(WitnessPID1, initialInodes[k]))
			equal(t, n.Initial[k], ID{Ino: initialInodes[k]})
		}
	})
	t.Run("takes the kernel's initial ones as well where PID 1 has its own", func(t *testing.T) {
		init := initials()
		init[Mnt].ID.Ino = 4026531900
		n := nodeEvidence{init: init, initSeen: true, kthreadd: initials(), kthreaddSeen: true}.judge()
		equal(t, n.Nested, false)
		equal(t, n.Sets[Mnt], set(WitnessPID1, 4026531900, initialInodes[Mnt]))
		equal(t, n.Sets[Mnt].Has(ID{Ino: initialInodes[Mnt]}), true)
		equal(t, n.Sets[Net], set(WitnessPID1, initialInodes[Net]))
	})
	t.Run("takes kthreadd's where PID 1 may not be read", func(t *testing.T) {
		kthreadd := initials()
		kthreadd[Net].ID.Ino = 4026531992 // an older kernel
		n := nodeEvidence{init: refused(), initSeen: true, kthreadd: kthreadd, kthreaddSeen: true}.judge()
		equal(t, n.Nested, false)
		equal(t, n.Sets[Net], set(WitnessKthreadd, 4026531992))
		equal(t, n.Initial[Net], ID{Ino: 4026531992})
		equal(t, n.Sets[User], set(WitnessKthreadd, initialInodes[User]))
	})
	t.Run("takes the reserved numbers where no link may be read", func(t *testing.T) {
		n := nodeEvidence{init: refused(), initSeen: true, kthreadd: refused(), kthreaddSeen: true, newInodes: true}.judge()
		equal(t, n.Nested, false)
		for k := range n.Sets {
			equal(t, n.Sets[k], set(WitnessInitialInode, initialInodes[k]))
		}
	})
	t.Run("does not know net and mnt on kernels that reserve no number for them", func(t *testing.T) {
		n := nodeEvidence{init: refused(), initSeen: true, kthreadd: refused(), kthreaddSeen: true}.judge()
		equal(t, n.Sets[IPC], set(WitnessInitialInode, initialInodes[IPC]))
		for _, k := range []Kind{Net, Mnt} {
			equal(t, n.Initial[k], ID{})
			equal(t, len(n.Sets[k].IDs), 0)
			fails(t, n.Sets[k].Err, "own "+k.String()+" namespace", "PID 1", "kthreadd", "6.17")
			equal(t, errors.Is(n.Sets[k].Err, fs.ErrPermission), true)
		}
	})
	t.Run("knows a bare machine by the reader's pid namespace where others are hidden", func(t *testing.T) {
		gone := Namespaces{}
		for k := range gone {
			gone[k].Err = ErrGone
		}
		self := Link{ID: ID{Ino: initialInodes[PID]}}
		n := nodeEvidence{init: gone, kthreadd: gone, self: self, selfHome: true, newInodes: true}.judge()
		equal(t, n.Nested, false)
		equal(t, n.Sets[Net], set(WitnessInitialInode, initialInodes[Net]))
	})
	t.Run("says that the kernel has no such kind", func(t *testing.T) {
		init, kthreadd := initials(), initials()
		init[Time], kthreadd[Time] = Link{Err: ErrUnsupported}, Link{Err: ErrUnsupported}
		n := nodeEvidence{init: init, initSeen: true, kthreadd: kthreadd, kthreaddSeen: true}.judge()
		is(t, n.Sets[Time].Err, ErrUnsupported)
		equal(t, len(n.Sets[Time].IDs), 0)
	})
}

func TestJudgeNestedNode(t *testing.T) {
	noKthreadd := refused()
	elsewhere := Link{ID: ID{Ino: 4026540000}}
	t.Run("takes PID 1's namespaces and nobody else's", func(t *testing.T) {
		init := all(4026533000)
		init[User].ID.Ino = initialInodes[User] // a node can share some with its host
		n := nodeEvidence{init: init, initSeen: true, kthreadd: noKthreadd, self: elsewhere, newInodes: true}.judge()
		equal(t, n.Nested, true)
		equal(t, n.Sets[Net], set(WitnessPID1, 4026533001))
		equal(t, n.Sets[Net].Has(ID{Ino: initialInodes[Net]}), false)
		equal(t, n.Initial[Net], ID{Ino: initialInodes[Net]})
		equal(t, n.Sets[User], set(WitnessPID1, initialInodes[User]))
	})
	t.Run("does not take the kernel's initial namespaces for its own", func(t *testing.T) {
		n := nodeEvidence{init: refused(), initSeen: true, kthreadd: noKthreadd, self: elsewhere, newInodes: true}.judge()
		equal(t, n.Nested, true)
		for k := range n.Sets {
			equal(t, len(n.Sets[k].IDs), 0)
			equal(t, n.Sets[k].Witness, WitnessNone)
			fails(t, n.Sets[k].Err, "not known to be the bare machine's")
		}
	})
	t.Run("takes the reader's pid namespace if it is the tree's", func(t *testing.T) {
		n := nodeEvidence{init: refused(), initSeen: true, kthreadd: noKthreadd, self: elsewhere, selfHome: true}.judge()
		equal(t, n.Nested, true)
		equal(t, n.Sets[PID], set(WitnessSelf, 4026540000))
		equal(t, len(n.Sets[Net].IDs), 0)
	})
}

func TestJudgeNothingKnown(t *testing.T) {
	t.Run("has errors and no IDs", func(t *testing.T) {
		n := nodeEvidence{init: refused(), kthreadd: refused(), self: Link{Err: fs.ErrNotExist}}.judge()
		equal(t, n.Nested, false)
		for k := range n.Sets {
			equal(t, len(n.Sets[k].IDs), 0)
			fails(t, n.Sets[k].Err, "not known")
		}
	})
	t.Run("never has the zero ID in a set", func(t *testing.T) {
		equal(t, NodeSet{IDs: []ID{{}}}.Has(ID{}), false)
	})
}

func TestNodeNamespaces(t *testing.T) {
	t.Run("reads a bare machine", func(t *testing.T) {
		n := openFixture(t, bareV2).NodeNamespaces()
		equal(t, n.Nested, false)
		for k := range n.Sets {
			equal(t, n.Sets[k], set(WitnessPID1, initialInodes[k]))
		}
	})
	t.Run("reads an older bare machine", func(t *testing.T) {
		n := openFixture(t, bareV1).NodeNamespaces()
		equal(t, n.Nested, false)
		equal(t, n.Sets[Net], set(WitnessPID1, 4026531992))
		equal(t, n.Initial[Net], ID{Ino: 4026531992})
		is(t, n.Sets[Time].Err, ErrUnsupported)
	})
	t.Run("reads a nested node and takes no process for kthreadd because of its number", func(t *testing.T) {
		n := openFixture(t, nested).NodeNamespaces()
		equal(t, n.Nested, true)
		equal(t, n.Sets[PID], set(WitnessPID1, 4026533001))
		equal(t, n.Sets[User], set(WitnessPID1, initialInodes[User]))
		equal(t, n.Initial[PID], ID{Ino: initialInodes[PID]})
		equal(t, n.Initial[Mnt], ID{Ino: initialInodes[Mnt]})
	})
	t.Run("reads a tree without either", func(t *testing.T) {
		n := openFixture(t, hostile).NodeNamespaces()
		equal(t, n.Nested, false)
		fails(t, n.Sets[PID].Err, "the node's own pid namespace is not known")
		equal(t, errors.Is(n.Sets[PID].Err, ErrGone), true)
	})
}
