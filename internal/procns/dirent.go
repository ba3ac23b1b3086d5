// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// parseDirents walks a buffer of struct linux_dirent64 (getdents64(2)): inode and offset of 8 bytes
// each, the record's length of 2, the type of 1, and the name with its closing NUL.
func parseDirents(buf []byte, number func(int)) error {
	const nameAt, unknown, directory = 19, 0, 4 // the types: DT_UNKNOWN, DT_DIR
	for len(buf) > 0 {
		if len(buf) < nameAt {
			return errors.New("directory entry is cut off")
		}
		length := int(binary.NativeEndian.Uint16(buf[16:]))
		if length < nameAt || length > len(buf) {
			return errors.New("directory entry has an impossible length")
		}
		kind, name := buf[18], buf[nameAt:length]
		buf = buf[length:]
		if kind != directory && kind != unknown {
			continue
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		if n, ok := parseInt(name); ok && n > 0 {
			number(n)
		}
	}
	return nil
}
