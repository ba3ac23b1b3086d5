// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// HoldLock makes the calling process the cluster's machine until it dies.
//
// The kernel keeps this lock, and tells who holds it. So there is no pid file that
// could name a process that has long been replaced by another one.
func HoldLock(d Dir) error {
	// Closing any descriptor of the file would give the lock up: leave this one open.
	fd, err := unix.Open(d.Lock(), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.Lock(), err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock); err != nil {
		return fmt.Errorf("lock %s: is another machine of this cluster running? %w", d.Lock(), err)
	}
	return nil
}

// MachinePID returns the process that is the cluster's machine, or 0 if none runs.
func MachinePID(d Dir) (int, error) {
	file, err := os.OpenFile(d.Lock(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for the cluster's machine: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("ask who holds %s: %w", d.Lock(), err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}

// KillMachine ends the cluster's machine, and with it every process of the cluster:
// it is the first process of a PID namespace, so the kernel kills all others in it.
func KillMachine(d Dir) error {
	pid, err := MachinePID(d)
	if err != nil || pid == 0 {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d, the cluster's machine: %w", pid, err)
	}
	defer unix.Close(process) //nolint:errcheck // nothing can be done about it
	// Only now is the pid pinned to one process. If that one holds the lock, it is
	// the machine, and no reuse of its pid can make us kill another.
	if again, err := MachinePID(d); err != nil || again != pid {
		return err
	}
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d, the cluster's machine: %w", pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		n, err := unix.Poll(poll, 1000)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d to end: %w", pid, err)
		}
	}
	return fmt.Errorf("process %d, the cluster's machine, was killed but has not ended after 20 s", pid)
}
