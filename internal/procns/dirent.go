// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The types of directory entries (readdir(3), DT_DIR and so on).
const (
	typeUnknown   = 0
	typeDirectory = 4
	typeFile      = 8
)

// parseDirents walks a buffer of struct linux_dirent64 (getdents64(2)): inode and offset of 8 bytes
// each, the record's length of 2, the type of 1, and the name with its closing NUL. It calls number
// for every name that is a decimal number, of an entry that is or may be of the type, until number
// says that it needs no more.
func parseDirents(buf []byte, kind byte, number func(n int, inode uint64) (more bool)) (more bool, err error) {
	const nameAt = 19
	for len(buf) > 0 {
		if len(buf) < nameAt {
			return false, errors.New("directory entry is cut off")
		}
		length := int(binary.NativeEndian.Uint16(buf[16:]))
		if length < nameAt || length > len(buf) {
			return false, errors.New("directory entry has an impossible length")
		}
		inode, is, name := binary.NativeEndian.Uint64(buf), buf[18], buf[nameAt:length]
		buf = buf[length:]
		if is != kind && is != typeUnknown {
			continue
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		if n, ok := parseInt(name); ok && !number(n, inode) {
			return false, nil
		}
	}
	return true, nil
}
