// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"strconv"
)

const (
	fdinfoDir  = "fdinfo"
	fdinfoHead = 512 // what is needed comes first and has at most 120 bytes
)

// OpenFile is what /proc/<pid>/fdinfo/<fd> tells of an open file (proc_pid_fdinfo(5)), as far as it
// is needed.
type OpenFile struct {
	// FD is the number of the file descriptor.
	FD int
	// Flags are those of open(2), as numbered on this architecture, O_CLOEXEC included.
	Flags uint32
	// MountID is the [Mount.ID] of the mount by which the file was opened (since 3.15). It can be a
	// mount of another namespace, or none that is in a namespace: pipes and sockets have such ones.
	MountID int
	// Inode is the file's inode number (since 5.14; 0 before).
	Inode uint64
}

// Directory says that it was opened as a directory (O_DIRECTORY). Nobody needs that flag to open a
// directory, so false does not say that it is none: [Process.FilePlace] tells.
func (f OpenFile) Directory() bool { return f.Flags&flagDirectory != 0 }

// PathOnly says that it was opened as a place in the tree of files only (O_PATH), which needs no
// permission on the file.
func (f OpenFile) PathOnly() bool { return f.Flags&flagPath != 0 }

// OpenFiles reads /proc/<pid>/fdinfo, the files with the limit lowest numbers, and calls visit for
// every one. More says that the process has others, which were not looked at. A process can choose
// the numbers of its files, up to a billion of them (dup2(2), sysctl fs.nr_open). Files closed
// meanwhile are skipped, those opened meanwhile can be missing. If there is an error, what was
// visited is not all.
//
// It needs ptrace access, as [Process.Namespace] does. Before 5.14 directory and files have the modes
// 0500 and 0400 instead, so that reading another user's needs CAP_DAC_READ_SEARCH.
//
// The kernel writes the whole description of a file even though only its beginning is read; that of
// an epoll or inotify file which watches much is long.
func (p Process) OpenFiles(limit int, visit func(OpenFile)) (more bool, err error) {
	dir, err := openList(p.fd, fdinfoDir)
	if err != nil {
		return false, p.failed("list", fdinfoDir, p.explainFile(fdinfoDir, err)...)
	}
	more, err = p.openFiles(dir, limit, visit)
	if closeErr := closeFD(dir); err == nil && closeErr != nil {
		err = p.failed("close", fdinfoDir, closeErr)
	}
	return more, err
}

// FDs are the numbers of what the process has open, the limit lowest of them, without a look at any: see
// [Process.FilePlace]. More says that there are others. It needs what [Process.OpenFiles] does.
func (p Process) FDs(limit int) (numbers []int, more bool, err error) {
	dir, err := openList(p.fd, fdinfoDir)
	if err != nil {
		return nil, false, p.failed("list", fdinfoDir, p.explainFile(fdinfoDir, err)...)
	}
	numbers, more, err = p.numbers(dir, limit)
	if closeErr := closeFD(dir); err == nil && closeErr != nil {
		err = p.failed("close", fdinfoDir, closeErr)
	}
	if err == nil && len(numbers) == 0 {
		if lost := p.lost(); lost != nil {
			err = p.failed("list", fdinfoDir, lost)
		}
	}
	return numbers, more, err
}

// numbers lists an open directory fdinfo.
func (p Process) numbers(dir, limit int) (numbers []int, more bool, err error) {
	err = readDirents(dir, p.fs.dirent, typeFile, func(fd int, _ uint64) bool {
		if more = len(numbers) >= limit; !more {
			numbers = append(numbers, fd)
		}
		return !more
	})
	if err != nil {
		return nil, false, p.failed("list", fdinfoDir, p.explainTask(fdinfoDir, err)...)
	}
	return numbers, more, nil
}

func (p Process) openFiles(dir, limit int, visit func(OpenFile)) (more bool, err error) {
	numbers, more, err := p.numbers(dir, limit)
	if err != nil {
		return false, err
	}
	skipped := len(numbers) == 0
	for _, fd := range numbers {
		file, err := p.fs.openFileInfo(dir, strconv.Itoa(fd))
		if notFound(err) {
			skipped = true
			continue
		}
		if err != nil {
			name := fdinfoDir + "/" + strconv.Itoa(fd)
			return false, p.failed("read", name, p.explain(name, err)...)
		}
		file.FD = fd
		visit(file)
	}
	if skipped { // by the process, or because it ended
		if lost := p.lost(); lost != nil {
			return false, p.failed("read", fdinfoDir, lost)
		}
	}
	return more, nil
}

// openFileInfo reads one file of a directory fdinfo. FD is left open.
func (f *FS) openFileInfo(dir int, name string) (OpenFile, error) {
	text, err := f.readHead(dir, name, fdinfoHead)
	if err != nil {
		return OpenFile{}, err
	}
	return parseFDInfo(text)
}

// parseFDInfo parses the beginning of a description: lines "pos", "flags", "mnt_id" and, since 5.14,
// "ino" (fs/proc/fd.c, seq_show). What follows depends on the kind of file and is not looked at.
func parseFDInfo(text []byte) (OpenFile, error) {
	if len(text) < fdinfoHead && !bytes.HasSuffix(text, []byte{'\n'}) {
		return OpenFile{}, errTruncated
	}
	var values [4][]byte
	rest := text
	for i, key := range [4]string{"pos:\t", "flags:\t", "mnt_id:\t", "ino:\t"} {
		value, found := bytes.CutPrefix(rest, []byte(key))
		if !found && i == 3 {
			break
		}
		value, after, ended := bytes.Cut(value, []byte{'\n'})
		if !found || !ended || len(value) == 0 {
			return OpenFile{}, malformed("no line "+key[:len(key)-2]+" where it should be", rest)
		}
		values[i], rest = value, after
	}
	var file OpenFile
	var ok bool
	if file.Flags, ok = parseOctal(values[1]); !ok {
		return OpenFile{}, malformed("flags are not an octal number", values[1])
	}
	if file.MountID, ok = parseInt(values[2]); !ok {
		return OpenFile{}, malformed("mnt_id is not a number", values[2])
	}
	if values[3] == nil {
		return file, nil
	}
	if file.Inode, ok = parseUint(values[3]); !ok {
		return OpenFile{}, malformed("ino is not a number", values[3])
	}
	return file, nil
}
