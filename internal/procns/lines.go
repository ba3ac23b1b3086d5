// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"fmt"
)

// lineBuffer is the size up to which the buffer for lines is kept. One that had to grow for a long
// line is given back after use.
const lineBuffer = 64 << 10

// readLines reads a file that can be long, and calls visit for every line, without its newline,
// until visit says that it needs no more. The line stays valid until visit returns. A last line
// without a newline is refused. The buffer is not that of read, so visit may read from the tree.
func (f *FS) readLines(dir int, name string, limit, lineLimit int, visit func(line []byte) (more bool)) error {
	fd, err := openFile(dir, name)
	if err != nil {
		return err
	}
	buf := f.lines
	f.lines = nil // taken, so that a visit that reads lines has a buffer of its own
	if buf == nil {
		buf = make([]byte, fileBuffer)
	}
	buf, err = readOpenLines(fd, buf, limit, lineLimit, visit)
	if len(buf) <= lineBuffer {
		f.lines = buf
	}
	if closeErr := closeFD(fd); err == nil {
		err = closeErr
	}
	return err
}

// readOpenLines gives the buffer back, which can have grown.
func readOpenLines(fd int, buf []byte, limit, lineLimit int, visit func([]byte) bool) ([]byte, error) {
	total, held := 0, 0 // bytes of the file, and of a line that has begun
	for {
		if held == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := read(fd, buf[held:])
		if err != nil {
			return buf, err
		}
		if n == 0 {
			if held > 0 {
				return buf, errTruncated
			}
			return buf, nil
		}
		if total += n; total > limit {
			return buf, tooLong(limit)
		}
		text := buf[:held+n]
		for {
			end := bytes.IndexByte(text[held:], '\n')
			if end < 0 {
				break
			}
			if !visit(text[:held+end]) {
				return buf, nil
			}
			text, held = text[held+end+1:], 0
		}
		if held = copy(buf, text); held > lineLimit {
			return buf, fmt.Errorf("%w: a line is longer than %d bytes", ErrTooLong, lineLimit)
		}
	}
}
