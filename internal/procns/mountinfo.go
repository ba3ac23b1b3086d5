// SPDX-License-Identifier: Apache-2.0

package procns

import "bytes"

// The table is parsed here and not by github.com/moby/sys/mountinfo, which unescapes rightly but
// reads a number that is none as 0, takes a last line that is cut off for a whole one, searches the
// separator from the end of the line, where filesystems write, and gives up at a line of 64 KiB,
// which an overlay of many layers or a mount in deep directories can exceed.
const (
	mountsFile     = "mountinfo"
	mountsLimit    = 32 << 20 // the kernel's own limit of 100,000 mounts (sysctl fs.mount-max) at 335 bytes each
	mountLineLimit = 1 << 20  // neither a mount point nor the options have a limit
)

// Mount is one line of /proc/<pid>/mountinfo (proc_pid_mountinfo(5)). Its texts are unescaped, raw,
// and chosen by whoever mounted. They share memory with each other and with nothing else.
type Mount struct {
	// ID is the mount's number. It is unique among all mounts of the machine, whatever their
	// namespace, as long as the mount exists; then it is given again.
	ID int
	// Parent is the ID of the mount that this one is mounted on. That of the topmost mount is not in
	// the table.
	Parent int
	// Major and Minor are the filesystem's device number.
	Major, Minor uint32
	// Root is what of the filesystem is mounted: "/" if all of it, the path of a directory or file
	// in bind mounts. It ends in "//deleted" if that was removed – no name contains a slash – and is
	// no path at all for some filesystems ("net:[4026531840]" on nsfs).
	Root string
	// Point is where it is mounted, seen from the process's root.
	Point string
	// ReadOnly says that nothing can be written through this mount, SuperReadOnly that the
	// filesystem takes no writes through any mount.
	ReadOnly, SuperReadOnly bool
	// Shared and Master are the peer groups to and from which mounts propagate, PropagateFrom the
	// nearest such group that the process can see if Master is not one (mount_namespaces(7)). 0 is
	// none.
	Shared, Master, PropagateFrom int
	// Unbindable says that it can be neither bound nor propagated elsewhere.
	Unbindable bool
	// FSType is the filesystem's type, with a subtype after a dot ("fuse.sshfs"): the part before
	// the dot is the kernel's, that after it anybody's.
	FSType string
	// Source is what was mounted, free text for most filesystems. It can be empty.
	Source string
}

// Mounts reads /proc/<pid>/mountinfo and calls visit for every mount, until visit says that it needs
// no more. Everybody may read it. Only one line is held at a time, so the table costs the memory of
// what visit keeps. If there is an error, what was visited is not all. visit may read from the tree.
//
// Mounts that the process's root does not lead to are left out by the kernel: after chroot(2) the
// table shows those below the new root (fs/seq_file.c, seq_path_root). So an ID that some
// [OpenFile] or [Place] has and the table has not is that of a mount outside the root, of another
// namespace, or of none (pipes, sockets, mounts not yet attached).
//
// # Which mount covers which
//
// Order tells nothing. It is that of creation since 6.8 (fs/namespace.c, m_start) and that of
// attachment before, and a mount made early can be attached late (move_mount(2)) or beneath another
// (MOVE_MOUNT_BENEATH, since 6.5). The parent tells: a mount covers another if its Parent is the
// other's ID and its Point is the other's Point. At most one mount does so (since 4.11). Mounts
// below what is covered stay in the table and are out of reach by path: they have an ancestor that
// is covered, at a Point that is theirs or leads to it. Since a process can hold a handle from
// before, out of reach by path is not out of reach.
//
// The table is no snapshot. The kernel lets mounts change after every page of it, so a mount can be
// missing or, on 6.8 to 6.18, be there twice, and parents can be of another moment.
//
// # Limits
//
// A table of more than 32 MiB, or a line of more than 1 MiB, is [ErrTooLong]. The kernel allows
// 100,000 mounts in a namespace (sysctl fs.mount-max); lines have some 100 to 300 bytes, those of
// overlays up to a few thousand.
func (p Process) Mounts(visit func(Mount) (more bool)) error {
	var malformedLine error
	err := p.fs.readLines(p.fd, mountsFile, mountsLimit, mountLineLimit, func(line []byte) bool {
		mount, err := parseMount(line)
		if err != nil {
			malformedLine = err
			return false
		}
		return visit(mount)
	})
	if malformedLine != nil {
		return p.failed("parse", mountsFile, malformedLine)
	}
	if err != nil {
		return p.failed("read", mountsFile, p.explainTask(mountsFile, err)...)
	}
	return nil
}

// parseMount parses a line without its newline: six fields, any number of optional fields, "-", and
// three more. Fields are separated by one space and can be empty.
func parseMount(line []byte) (Mount, error) {
	var mount Mount
	var head [6][]byte
	var ok bool
	rest := line
	for i := range head {
		if head[i], rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return Mount{}, malformed("not a mount: too few fields", line)
		}
	}
	id, parent, device, root, point, options := head[0], head[1], head[2], head[3], head[4], head[5]
	if mount.ID, ok = parseInt(id); !ok {
		return Mount{}, malformed("no mount ID in line", line)
	}
	if mount.Parent, ok = parseInt(parent); !ok {
		return Mount{}, malformed("no ID of the parent in line", line)
	}
	if mount.Major, mount.Minor, ok = parseDevice(device); !ok {
		return Mount{}, malformed("no device number in line", line)
	}
	if mount.ReadOnly, ok = parseReadOnly(options); !ok {
		return Mount{}, malformed("options are neither ro nor rw in line", line)
	}
	// Optional fields are the kernel's, so the first "-" is the separator. What filesystems and
	// those who mount them can choose comes after it.
	for {
		var field []byte
		if field, rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return Mount{}, malformed("no separator in line", line)
		}
		if string(field) == "-" {
			break
		}
		if !mount.setOptional(field) {
			return Mount{}, malformed("cannot read an optional field of line", line)
		}
	}
	fsType, rest, _ := bytes.Cut(rest, []byte{' '})
	source, superOptions, _ := bytes.Cut(rest, []byte{' '})
	if mount.SuperReadOnly, ok = parseReadOnly(superOptions); !ok {
		return Mount{}, malformed("options of the filesystem are neither ro nor rw in line", line)
	}
	if !mount.setTexts(root, point, fsType, source) {
		return Mount{}, malformed("no root, mount point or type, or one with a strange escape, in line", line)
	}
	return mount, nil
}

// parseDevice parses "MAJOR:MINOR".
func parseDevice(text []byte) (major, minor uint32, ok bool) {
	first, second, _ := bytes.Cut(text, []byte{':'})
	major, ok = parseUint32(first)
	if !ok {
		return 0, 0, false
	}
	minor, ok = parseUint32(second)
	return major, minor, ok
}

// parseReadOnly parses the first of the options, which is always one of two.
func parseReadOnly(options []byte) (readOnly, ok bool) {
	first, _, _ := bytes.Cut(options, []byte{','})
	readOnly = string(first) == "ro"
	return readOnly, readOnly || string(first) == "rw"
}

// setOptional takes an optional field over. Unknown ones are skipped, as the manual page asks.
func (m *Mount) setOptional(field []byte) (ok bool) {
	name, value, tagged := bytes.Cut(field, []byte{':'})
	var group *int
	switch string(name) {
	case "shared":
		group = &m.Shared
	case "master":
		group = &m.Master
	case "propagate_from":
		group = &m.PropagateFrom
	case "unbindable":
		m.Unbindable = true
		return !tagged
	default:
		return true
	}
	*group, ok = parseInt(value)
	return ok && *group > 0
}

// setTexts takes the four texts over, in one string.
func (m *Mount) setTexts(root, point, fsType, source []byte) (ok bool) {
	var space [512]byte // nearly all texts fit, so the string is all that is allocated
	text, rootOK := unescape(space[:0], root)
	endOfRoot := len(text)
	text, pointOK := unescape(text, point)
	endOfPoint := len(text)
	text, typeOK := unescape(text, fsType)
	endOfType := len(text)
	text, _ = unescape(text, source) // drivers print it as they like, and nothing is concluded from it
	all := string(text)
	m.Root, m.Point = all[:endOfRoot], all[endOfRoot:endOfPoint]
	m.FSType, m.Source = all[endOfPoint:endOfType], all[endOfType:]
	return rootOK && pointOK && typeOK && m.Root != "" && m.FSType != "" && m.Point != "" && m.Point[0] == '/'
}

// unescape appends the text with every \NNN, three octal digits, as the byte that it stands for. The
// kernel writes space, tab, newline, backslash and, in some texts, # so (fs/seq_file.c,
// mangle_path). A backslash that begins nothing of the kind stays, and ok is false.
func unescape(to, text []byte) (unescaped []byte, ok bool) {
	ok = true
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(to, text...), ok
		}
		to = append(to, text[:i]...)
		text = text[i:]
		c, isOctal := parseOctal(text[1:min(4, len(text))])
		if isOctal = isOctal && len(text) >= 4 && c <= 0xff; isOctal {
			to = append(to, byte(c))
			text = text[4:]
		} else {
			to = append(to, '\\')
			text = text[1:]
			ok = false
		}
	}
}
