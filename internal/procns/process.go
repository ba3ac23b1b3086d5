// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"fmt"
	"io/fs"
)

// Process is a handle on the directory of one process, or of one thread of it: the process that had
// the number when it was opened and no other, whoever has the number later. It is a small value;
// copies share the handle, and one of them is to be closed.
type Process struct {
	// PID is the process's number in the tree's pid namespace. Of a handle from [Process.Thread] it
	// is the thread's number (its TID); [Status.Tgid] gives the process.
	PID int

	leader int // the process; differs from PID for threads
	fd     int
	fs     *FS
}

// Close gives the handle back.
func (p Process) Close() error {
	if err := closeFD(p.fd); err != nil {
		return p.failed("close", "", err)
	}
	return nil
}

// read reads a file of the process; see FS.read.
func (p Process) read(name string, limit int) ([]byte, error) {
	text, err := p.fs.read(p.fd, name, limit)
	if err != nil {
		return nil, p.failed("read", name, p.explain(name, err)...)
	}
	return text, nil
}

// readRecord is read for a file of one record; see FS.readRecord.
func (p Process) readRecord(name string, limit int) ([]byte, error) {
	text, err := p.fs.readRecord(p.fd, name, limit)
	if err != nil {
		return nil, p.failed("read", name, p.explain(name, err)...)
	}
	return text, nil
}

// explain finds out what a failed open, read or readlink means, as a sentinel and the cause. The
// kernel answers with misleading numbers when the process ends in the middle (see ErrGone), so what
// exists afterwards decides: a process that is found later was there before, since the handle is
// bound to it.
func (p Process) explain(name string, err error) []error {
	if !p.alive(name, err) {
		return []error{ErrGone, err}
	}
	if notFound(err) {
		return []error{ErrUnsupported, err}
	}
	return []error{err}
}

// explainTask is explain for what a task gives up when it exits and before it is reaped: links,
// mounts and files.
func (p Process) explainTask(name string, err error) []error {
	errs := p.explain(name, err)
	if !errors.Is(errs[0], ErrUnsupported) && !invalid(errs[0]) {
		return errs
	}
	if lost := p.lost(); lost != nil {
		return []error{lost, err}
	}
	return errs
}

// explainFile is explainTask for what the mode of a directory refuses once the task has exited: all
// of it is root's then.
func (p Process) explainFile(name string, err error) []error {
	errs := p.explainTask(name, err)
	if errors.Is(errs[0], fs.ErrPermission) {
		if lost := p.lost(); lost != nil {
			return []error{lost, err}
		}
	}
	return errs
}

// lost says that the task is gone or has exited, or nil.
func (p Process) lost() error {
	stat, err := p.Stat()
	switch {
	case errors.Is(err, ErrGone):
		return ErrGone
	case err == nil && stat.Exited():
		return ErrExited
	}
	return nil
}

// alive says whether the process still exists, as a zombie at least. Every process has the file
// stat.
func (p Process) alive(name string, err error) bool {
	if name == statFile && notFound(err) {
		return false
	}
	return exists(p.fd, statFile)
}

// failed describes a failure on a file of the process, by one error or by a sentinel and its cause.
func (p Process) failed(op, name string, errs ...error) error {
	e := &readError{op: op, fs: p.fs, leader: p.leader, name: name}
	if p.PID != p.leader {
		e.thread = p.PID
	}
	copy(e.errs[:], errs)
	return e
}

// String names the process for people: its number, and that of its thread.
func (p Process) String() string {
	if p.PID != p.leader {
		return fmt.Sprintf("thread %d of process %d", p.PID, p.leader)
	}
	return fmt.Sprintf("process %d", p.PID)
}
