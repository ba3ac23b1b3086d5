// SPDX-License-Identifier: Apache-2.0

package procns

import "bytes"

const (
	uidMapFile = "uid_map"
	gidMapFile = "gid_map"
	idMapLimit = 16 << 10 // 340 lines of 33 bytes (include/linux/user_namespace.h, UID_GID_MAP_MAX_EXTENTS)
)

// noID is what the kernel prints for an ID that the reader's user namespace has no number for:
// (uid_t)-1.
const noID = 1<<32 - 1

// IDRange is one line of an ID map: Count IDs from Inside on are, in the same order, those from
// Outside on.
type IDRange struct{ Inside, Outside, Count uint32 }

// IDMap is the map of the user namespace that a process is in (user_namespaces(7)). Inside are the
// numbers in that namespace. Outside are those of the reader's user namespace – or of its parent
// for processes in the reader's own namespace: a reader on the bare machine sees the numbers that
// the machine's files have.
//
// The initial namespace's map is the identity, {0, 0, 4294967295}. A map is empty until somebody
// writes it, and then everybody inside is nobody.
type IDMap []IDRange

// ContainsOutside says whether some ID inside is the given one outside. With 0 it asks whether root
// of the reader's side is in the namespace, in which case it is no separation whatever its inode.
//
// A range that the reader's namespace has no numbers for (Outside is 4294967295) could be any, and
// is taken to contain every ID.
func (m IDMap) ContainsOutside(id uint32) bool {
	for _, r := range m {
		if r.Outside == noID || id >= r.Outside && uint64(id) < uint64(r.Outside)+uint64(r.Count) {
			return true
		}
	}
	return false
}

// UIDMap reads /proc/<pid>/uid_map. Everybody may read it.
func (p Process) UIDMap() (IDMap, error) { return p.idMap(uidMapFile) }

// GIDMap reads /proc/<pid>/gid_map. Everybody may read it.
func (p Process) GIDMap() (IDMap, error) { return p.idMap(gidMapFile) }

func (p Process) idMap(name string) (IDMap, error) {
	text, err := p.read(name, idMapLimit)
	if err != nil {
		return nil, err
	}
	ids, err := parseIDMap(text)
	if err != nil {
		return nil, p.failed("parse", name, err)
	}
	return ids, nil
}

// parseIDMap parses lines of three numbers, padded with spaces.
func parseIDMap(text []byte) (IDMap, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if !bytes.HasSuffix(text, []byte{'\n'}) {
		return nil, errTruncated
	}
	var ids IDMap
	for rest := text; len(rest) > 0; {
		var line []byte
		line, rest = nextLine(rest)
		r, ok := parseIDRange(line)
		if !ok {
			return nil, malformed("not three numbers of 32 bits", line)
		}
		ids = append(ids, r)
	}
	return ids, nil
}

func parseIDRange(line []byte) (IDRange, bool) {
	var numbers [3]uint32
	rest := line
	for i := range numbers {
		var field []byte
		var ok bool
		field, rest = nextField(rest)
		if numbers[i], ok = parseUint32(field); !ok {
			return IDRange{}, false
		}
	}
	end, _ := nextField(rest)
	r := IDRange{Inside: numbers[0], Outside: numbers[1], Count: numbers[2]}
	return r, len(end) == 0 && r.Count > 0
}
