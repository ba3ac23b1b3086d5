// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"fmt"
	"strconv"
)

var (
	// ErrGone says that the process or thread ended, and was reaped, before or between two reads:
	// it is to be dropped, and it is not unknown. The kernel says so with ENOENT (its files are no
	// longer there) or ESRCH (an open file's process is no longer there); where it answers the lost
	// race otherwise – EACCES from the links in ns/ (fs/proc/namespaces.c, proc_ns_readlink),
	// EINVAL from uid_map (fs/proc/base.c, proc_id_map_open) and mountinfo – this package looks whether the
	// process still exists before it reports a refusal.
	//
	// Where procfs is mounted with hidepid=invisible (or ptraceable), a process that is hidden from
	// the reader cannot be told from one that ended. Such a tree does not list PID 1 to those from
	// whom it hides processes.
	ErrGone = errors.New("the process is gone")

	// ErrExited says that the task has exited, or is past the point in exiting at which it gives up
	// its namespaces, and awaits its parent: state Z or X, or the flag PF_EXITING in [Stat]. Of the
	// eight links only pid and user remain (kernel/exit.c, do_exit: exit_task_namespaces), and
	// neither mounts, open files, root nor current directory. Other threads of the process may live
	// on: see [Stat.NumThreads].
	ErrExited = errors.New("the task has exited and has given this up")

	// ErrUnsupported says that the process lives and the kernel offers no such file or kind of
	// namespace: it is too old (cgroup namespaces came with 4.6, time namespaces with 5.6) or was
	// built without it.
	ErrUnsupported = errors.New("this kernel does not offer it")

	// ErrNotOpen says that the process has no open file of that number.
	ErrNotOpen = errors.New("the process has no such file open")

	// ErrTooLong says that a file exceeds the limit that this package sets for it. What was read of
	// it is not returned.
	ErrTooLong = errors.New("file is too long")
)

// readError tells what was attempted on which file. The path is put together only if somebody asks:
// a look without the permission to read links makes thousands of these.
type readError struct {
	op     string
	fs     *FS
	leader int    // the process, 0 for files of the whole tree
	thread int    // the thread, 0 for files of the process
	name   string // relative to the process or the root
	errs   [2]error
}

func (e *readError) path() string {
	path := e.fs.root
	if e.leader != 0 {
		path += "/" + strconv.Itoa(e.leader)
	}
	if e.thread != 0 {
		path += "/task/" + strconv.Itoa(e.thread)
	}
	if e.name != "" {
		path += "/" + e.name
	}
	return path
}

func (e *readError) Error() string {
	text := e.op + " " + e.path() + ": " + e.errs[0].Error()
	if e.errs[1] != nil {
		text += ": " + e.errs[1].Error()
	}
	return text
}

// Unwrap gives the sentinel, if any, and the cause.
func (e *readError) Unwrap() []error {
	if e.errs[1] == nil {
		return e.errs[:1]
	}
	return e.errs[:]
}

// tooLong is [ErrTooLong] with the limit.
func tooLong(limit int) error { return fmt.Errorf("%w: longer than %d bytes", ErrTooLong, limit) }

// malformed quotes what could not be understood, a bounded piece of it.
func malformed(what string, text []byte) error {
	const most = 64
	if len(text) > most {
		return fmt.Errorf("%s: %q and %d bytes more", what, text[:most], len(text)-most)
	}
	return fmt.Errorf("%s: %q", what, text)
}
