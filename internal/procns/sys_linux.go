// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The system calls, and nothing more. All paths are relative to a directory handle.

// Flags of open files, whose numbers differ between architectures.
const (
	flagDirectory = unix.O_DIRECTORY
	flagPath      = unix.O_PATH
)

// openRoot opens the directory of a tree for reading.
func openRoot(path string) (int, error) {
	return retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

// openDir opens a directory only as a starting point (O_PATH): reading what is below needs no more.
func openDir(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// openList opens a directory for [readDirents].
func openList(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// openFile opens a file for reading. It does not follow a link and does not wait for the writer of
// a FIFO.
func openFile(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

// openPlace opens what a link leads to only as a place (O_PATH): it follows the link, and neither
// opens nor asks what is there.
func openPlace(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_CLOEXEC, 0)
}

// openPlaceDir is openPlace for directories only: the error of what is none matches notDirectory.
func openPlaceDir(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func read(fd int, buf []byte) (int, error) {
	return retry(func() (int, error) { return unix.Read(fd, buf) })
}

func readlink(dir int, name string, buf []byte) (int, error) {
	return unix.Readlinkat(dir, name, buf)
}

func closeFD(fd int) error { return unix.Close(fd) }

// exists says whether the directory still has such an entry. Only a clear "no" is a no.
func exists(dir int, name string) bool {
	err := unix.Faccessat(dir, name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW)
	return !notFound(err)
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// notFound matches what procfs answers when the process behind a path or an open file is no more.
func notFound(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}

// invalid matches what procfs answers for the mounts of a task that has given up its namespaces.
func invalid(err error) bool { return errors.Is(err, unix.EINVAL) }

func notDirectory(err error) bool { return errors.Is(err, unix.ENOTDIR) }

func nameTooLong(err error) bool { return errors.Is(err, unix.ENAMETOOLONG) }

// isProcfs says whether the directory is the root of a mounted procfs, or lies in one.
func isProcfs(fd int) bool {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return err == nil && int64(st.Type) == unix.PROC_SUPER_MAGIC //nolint:unconvert // 32 bits wide on some architectures
}

// nsfsDevice gives the device number of the kernel's nsfs. It is the only place that follows a link
// in ns/, the caller's own.
func nsfsDevice(root int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(root, "self/ns/pid", &st, 0); err != nil {
		return 0, err
	}
	return uint64(st.Dev), nil //nolint:unconvert // 32 bits wide on some architectures
}

// readDirents reads the directory from its start; see parseDirents.
func readDirents(fd int, buf []byte, kind byte, number func(n int, inode uint64) (more bool)) error {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return err
	}
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if more, err := parseDirents(buf[:n], kind, number); err != nil || !more {
			return err
		}
	}
}
