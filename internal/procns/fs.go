// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// The first size of the buffers. Nearly everything fits; where it does not, the buffer grows up to
// the file's limit and stays.
const (
	fileBuffer   = 8 << 10
	direntBuffer = 32 << 10
)

// The longest text of a link: the kernel's own buffer has 50 bytes (fs/proc/namespaces.c,
// proc_ns_readlink).
const linkLimit = 63

// FS is one proc tree. It holds a handle on the root directory, so that what is later mounted over
// the path changes nothing, and buffers that every read reuses: it is not for concurrent use, nor
// are the processes opened from it. Use one FS per goroutine.
type FS struct {
	root   string
	fd     int
	procfs bool
	dev    uint64 // of the nsfs; see ID
	file   []byte
	lines  []byte // see readLines
	dirent []byte
	link   [linkLimit + 1]byte
}

// Open opens a proc tree, "/proc" on most systems. The root must be a mounted procfs or look like
// one, which is to have a directory for at least one process; the error says what to do.
//
// A procfs shows the processes of the pid namespace for which it was mounted, numbered as that
// namespace numbers them, and leaves out other users' processes where it was mounted with
// hidepid=invisible (proc(5)).
func Open(root string) (*FS, error) {
	fd, err := openRoot(root)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open proc tree %s: %w: name the directory where procfs is mounted", root, err)
		}
		return nil, fmt.Errorf("open proc tree %s: %w", root, err)
	}
	f := &FS{root: root, fd: fd, file: make([]byte, fileBuffer), dirent: make([]byte, direntBuffer)}
	if err := f.check(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// check refuses a directory that is no proc tree, and learns the device of the namespaces.
func (f *FS) check() error {
	pids, err := f.PIDs()
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return fmt.Errorf("open proc tree %s: it has no directory of a process: "+
			"name the directory where procfs is mounted, or mount one with: mount -t proc proc DIRECTORY", f.root)
	}
	if f.procfs = isProcfs(f.fd); !f.procfs {
		return nil
	}
	// The caller is missing from a procfs of a pid namespace below or beside its own. Then the
	// device is not known from here, and need not be: see ID.
	if dev, err := nsfsDevice(f.fd); err == nil {
		f.dev = dev
	}
	return nil
}

// Close gives the handle back. Processes opened from the tree have handles of their own.
func (f *FS) Close() error {
	if err := closeFD(f.fd); err != nil {
		return fmt.Errorf("close proc tree %s: %w", f.root, err)
	}
	return nil
}

// PIDs lists the processes of the tree in ascending order: every directory whose name is a number.
// Threads are not among them (see [Process.Threads]), zombies are. A listing is no snapshot: a
// process that starts meanwhile may be missing, one that ends may be listed.
func (f *FS) PIDs() ([]int, error) {
	all, err := f.Entries()
	if err != nil {
		return nil, err
	}
	pids := make([]int, len(all))
	for i := range all {
		pids[i] = all[i].PID
	}
	return pids, nil
}

// Entry is a process as the list of a tree shows it.
type Entry struct {
	PID int
	// Inode is that of the process's directory. A procfs gives a new one to each process that it comes to know
	// (fs/proc/base.c, proc_pid_make_inode and proc_fill_cache): a number that two lists show with one inode is one
	// process's. The other way round nothing follows, for the kernel may forget a directory to save memory.
	Inode uint64
}

// Entries is [FS.PIDs] with the inodes.
func (f *FS) Entries() ([]Entry, error) {
	var all []Entry
	err := readDirents(f.fd, f.dirent, typeDirectory, func(n int, inode uint64) bool {
		if n > 0 {
			all = append(all, Entry{n, inode})
		}
		return true
	})
	if err != nil {
		return nil, f.failed("list", "", err)
	}
	byPID := func(a, b Entry) int { return cmp.Compare(a.PID, b.PID) }
	if !slices.IsSortedFunc(all, byPID) { // a procfs lists them in order
		slices.SortFunc(all, byPID)
	}
	return all, nil
}

// Glance reads one link of a process by the process's number, without a handle: it takes one system call where
// [FS.Process] and [Process.Namespace] take three, and two glances at one number can show two processes. It is not ok
// if there is no such process, or its first thread has exited and given this namespace up (see [ErrExited]), or the
// kernel has no such namespaces, or refuses: ask [Process.Namespace] which.
func (f *FS) Glance(pid int, k Kind) (id ID, ok bool) {
	if k >= NumKinds {
		return ID{}, false
	}
	text, err := f.readlink(f.fd, strconv.Itoa(pid)+"/"+kindLinks[k])
	if err != nil {
		return ID{}, false
	}
	ino, ok := parseLink(k, text)
	return ID{Dev: f.dev, Ino: ino}, ok
}

// ShowsReader tells whether the reader itself is in the tree: that takes a procfs of its pid namespace or
// of one above. Without it nothing can be told of places; see [Process.Cwd].
func (f *FS) ShowsReader() bool { return exists(f.fd, "self/"+fdinfoDir) }

// Has tells whether the tree has an entry of that name beside the processes: a kernel need not have all.
func (f *FS) Has(name string) bool { return exists(f.fd, name) }

// numbers lists the numeric directories of an open directory.
func (f *FS) numbers(fd int) ([]int, error) {
	var numbers []int
	err := readDirents(fd, f.dirent, typeDirectory, func(n int, _ uint64) bool {
		if n > 0 {
			numbers = append(numbers, n)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if !slices.IsSorted(numbers) { // a procfs lists them in order
		slices.Sort(numbers)
	}
	return numbers, nil
}

// Process opens the directory of a process. The error is [ErrGone] if there is none. Close it after
// use.
func (f *FS) Process(pid int) (Process, error) {
	if pid <= 0 {
		return Process{}, fmt.Errorf("open process %d of %s: not a process number", pid, f.root)
	}
	fd, err := openDir(f.fd, strconv.Itoa(pid))
	if err != nil {
		failure := &readError{op: "open", fs: f, leader: pid, errs: [2]error{err}}
		if notFound(err) {
			failure.errs = [2]error{ErrGone, err}
		}
		return Process{}, failure
	}
	return Process{PID: pid, leader: pid, fd: fd, fs: f}, nil
}

// read reads a whole file into the tree's buffer, where it stays until the next read. The file is
// read up to its end, since one read(2) of a procfs file of several records may return fewer than
// there are.
func (f *FS) read(dir int, name string, limit int) ([]byte, error) {
	return f.readUntil(dir, name, limit, false)
}

// readRecord is read for the files that procfs makes of one record, however many lines it has: those that the tables of
// fs/proc/base.c call ONE. Of such a file one read(2) gives all that there is room for (fs/seq_file.c, seq_read_iter), so
// one that leaves room has reached the end, and nothing need be asked again. Of plain files that is not taken for granted.
func (f *FS) readRecord(dir int, name string, limit int) ([]byte, error) {
	return f.readUntil(dir, name, limit, f.procfs)
}

// readUntil reads up to the end, or until a read leaves room.
func (f *FS) readUntil(dir int, name string, limit int, room bool) ([]byte, error) {
	fd, err := openFile(dir, name)
	if err != nil {
		return nil, err
	}
	text, err := f.readOpen(fd, limit, room)
	if closeErr := closeFD(fd); err == nil {
		err = closeErr
	}
	return text, err
}

func (f *FS) readOpen(fd, limit int, room bool) ([]byte, error) {
	length := 0
	for {
		if length == len(f.file) {
			f.file = append(f.file, make([]byte, len(f.file))...)
		}
		n, err := read(fd, f.file[length:])
		if err != nil {
			return nil, err
		}
		if length += n; length > limit {
			return nil, tooLong(limit)
		}
		if n == 0 || room && length < len(f.file) {
			return f.file[:length], nil
		}
	}
}

// readHead reads the beginning of a file with one read(2), into the tree's buffer.
func (f *FS) readHead(dir int, name string, length int) ([]byte, error) {
	fd, err := openFile(dir, name)
	if err != nil {
		return nil, err
	}
	n, err := read(fd, f.file[:length])
	if closeErr := closeFD(fd); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return f.file[:n], nil
}

// readlink reads the text of a link into the tree's buffer, where it stays until the next readlink.
func (f *FS) readlink(dir int, name string) ([]byte, error) {
	n, err := readlink(dir, name, f.link[:])
	if err != nil {
		return nil, err
	}
	if n > linkLimit { // readlink(2) cuts off silently
		return nil, tooLong(linkLimit)
	}
	return f.link[:n], nil
}

// failed describes a failure on a file of the whole tree.
func (f *FS) failed(op, name string, err error) error {
	return &readError{op: op, fs: f, name: name, errs: [2]error{err}}
}
