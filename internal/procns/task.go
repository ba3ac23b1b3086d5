// SPDX-License-Identifier: Apache-2.0

package procns

import "strconv"

const taskDir = "task"

// Threads lists the numbers of the process's threads in ascending order, from /proc/<pid>/task. The
// first thread, whose number is the process's, is among them even after it ended (as a zombie).
// Called on a thread it fails.
//
// Threads of one process can be in different mount, network, ipc, uts and cgroup namespaces. They
// cannot differ in the pid, user and time namespaces that they are in (setns(2), unshare(2); time
// and pid of children can).
func (p Process) Threads() ([]int, error) {
	fd, err := openList(p.fd, taskDir)
	if err != nil {
		return nil, p.failed("list", taskDir, p.explain(taskDir, err)...)
	}
	tids, err := p.fs.numbers(fd)
	if closeErr := closeFD(fd); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, p.failed("list", taskDir, p.explain(taskDir, err)...)
	}
	return tids, nil
}

// Thread opens the directory of one thread, /proc/<pid>/task/<tid>. The error is [ErrGone] if there
// is no such thread. Close it after use; it does not depend on p any more.
func (p Process) Thread(tid int) (Process, error) {
	thread := Process{PID: tid, leader: p.leader, fs: p.fs}
	name := taskDir + "/" + strconv.Itoa(tid)
	fd, err := openDir(p.fd, name)
	if err != nil {
		if notFound(err) {
			return Process{}, p.failed("open", name, ErrGone, err)
		}
		return Process{}, p.failed("open", name, p.explain(name, err)...)
	}
	thread.fd = fd
	return thread, nil
}
