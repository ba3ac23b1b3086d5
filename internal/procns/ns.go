// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"errors"
	"strconv"
)

// Kind is one of the eight kinds of namespaces (namespaces(7)).
type Kind uint8

// The kinds. Their order is part of the interface: they index [Namespaces] and [NodeNamespaces].
const (
	PID Kind = iota
	Net
	IPC
	UTS
	Mnt
	User
	Cgroup
	Time

	// NumKinds is the number of kinds.
	NumKinds = 8
)

var kindNames = [NumKinds]string{"pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time"}

// The paths of the links. ns/pid and ns/time are where the task is; ns/pid_for_children and
// ns/time_for_children, which differ after unshare or setns, are where its children will be, and
// are not read.
var kindLinks = [NumKinds]string{
	"ns/pid", "ns/net", "ns/ipc", "ns/uts", "ns/mnt", "ns/user", "ns/cgroup", "ns/time",
}

// String gives the name of the kind's link under /proc/<pid>/ns.
func (k Kind) String() string {
	if k >= NumKinds {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// ID identifies a namespace at one moment: the device and the inode of its object on the kernel's
// nsfs. Inodes are used again after a namespace ended, so IDs from two looks compare only while a
// process seen in both was in it. The zero value is none.
//
// The inode is the number in the text of the link, "pid:[4026531836]". Beware of stat: lstat of the
// link gives an inode of procfs that has nothing to do with the namespace, and where reading the
// link is refused, lstat still succeeds.
//
// Dev is the same for all namespaces: nsfs cannot be mounted by anybody, the kernel mounts it once
// (fs/nsfs.c, nsfs_init). It is found once, by the caller's own link, and is 0 where that is not to
// be had – in trees of plain files and in a procfs that the caller is not in – so IDs from two [FS]
// of one kernel can differ in it.
type ID struct{ Dev, Ino uint64 }

// Link is one link of a process under ns/: where it leads, or why that is not known.
type Link struct {
	ID  ID
	Err error
}

// Namespaces are all links of a process, indexed by [Kind]. Some can be known where others are not.
type Namespaces [NumKinds]Link

// Namespace reads one link, /proc/<pid>/ns/<kind>. It needs ptrace access of the kind
// PTRACE_MODE_READ_FSCREDS (ptrace(2)): the same user and no more capabilities than the reader, or
// CAP_SYS_PTRACE; security modules can refuse all the same. Apart from a refusal the error is
// [ErrGone], [ErrExited] or [ErrUnsupported].
func (p Process) Namespace(k Kind) (ID, error) {
	if k >= NumKinds {
		return ID{}, p.failed("readlink", "ns/"+k.String(), ErrUnsupported)
	}
	id, err := p.link(k)
	if err == nil {
		return id, nil
	}
	return ID{}, p.failed("readlink", kindLinks[k], p.explainTask(kindLinks[k], err)...)
}

// Namespaces reads all links, as Namespace does each. Of a process that is gone every link that
// failed says [ErrGone]; of a zombie all but pid and user say [ErrExited].
func (p Process) Namespaces() Namespaces {
	var links Namespaces
	var gone bool
	for k := range Kind(NumKinds) {
		id, err := p.link(k)
		switch {
		case err == nil:
			links[k].ID = id
		case gone: // no need to look again
			links[k].Err = p.failed("readlink", kindLinks[k], ErrGone, err)
		default:
			links[k].Err = p.failed("readlink", kindLinks[k], p.explainTask(kindLinks[k], err)...)
			gone = errors.Is(links[k].Err, ErrGone)
		}
	}
	return links
}

// link reads one link without judging the error.
func (p Process) link(k Kind) (ID, error) {
	text, err := p.fs.readlink(p.fd, kindLinks[k])
	if err != nil {
		return ID{}, err
	}
	ino, ok := parseLink(k, text)
	if !ok {
		return ID{}, malformed("not a namespace of the kind "+k.String(), text)
	}
	return ID{Dev: p.fs.dev, Ino: ino}, nil
}

// parseLink parses "KIND:[INODE]".
func parseLink(k Kind, text []byte) (ino uint64, ok bool) {
	number, named := bytes.CutPrefix(text, []byte(kindNames[k]))
	number, opened := bytes.CutPrefix(number, []byte(":["))
	number, closed := bytes.CutSuffix(number, []byte("]"))
	ino, ok = parseUint(number)
	return ino, named && opened && closed && ok && ino != 0
}
