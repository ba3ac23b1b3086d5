// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"strconv"
)

const (
	cwdLink    = "cwd"
	rootLink   = "root"
	fdDir      = "fd"
	placeLimit = 4096 // PATH_MAX, the size of the kernel's buffer (fs/proc/base.c, do_proc_readlink)
)

// errNotShown says why the reader's own handles cannot be looked at.
var errNotShown = errors.New("this tree does not show the reader: " +
	"read the procfs of the reader's pid namespace or of one above")

// Place is where something is in the tree of files, without what is there.
type Place struct {
	// MountID is the [Mount.ID] of the mount that it is on.
	MountID int
	// Path is the text of the link, raw, of up to 4,095 bytes, and empty if it would be longer. It
	// leads from the reader's root if that leads there, else from the root of the mount namespace,
	// so a chroot of the process is part of it. It ends in " (deleted)" if the directory or file was
	// removed, which can be part of a name as well. Pipes and the like have other texts
	// ("pipe:[42]"). It is for showing: another place can have the same.
	Path string
	// Directory says that it is a directory.
	Directory bool
}

// Cwd tells where the process's current directory is, /proc/<pid>/cwd (proc_pid_cwd(5)). It needs
// ptrace access, as [Process.Namespace] does.
//
// What is behind the link belongs to the process, and its filesystem may never answer (FUSE).
// Therefore the link is opened as a place only, which makes the kernel jump to the directory that it
// already has (fs/namei.c, nd_jump_link) and ask its filesystem nothing; mount and text are read from
// the handle, in the reader's own fdinfo and fd. Stat is not used: it asks the filesystem, and a FUSE
// of another user refuses it. For so long the mount is busy, and umount(2) without MNT_DETACH fails.
//
// The exceptions are NFS and 9p, and overlays on them, which revalidate at such a jump
// (d_weak_revalidate) and can wait for their server: NFS for what was removed, older kernels when
// what they know is old. Only root of the machine mounts these.
func (p Process) Cwd() (Place, error) { return p.place(cwdLink, ErrUnsupported) }

// Root tells where the process's root directory is, /proc/<pid>/root (proc_pid_root(5)), as
// [Process.Cwd] does. It is the root of its mount namespace, or where chroot(2) put it.
func (p Process) Root() (Place, error) { return p.place(rootLink, ErrUnsupported) }

// FilePlace tells where an open file is, /proc/<pid>/fd/<fd> (proc_pid_fd(5)), as [Process.Cwd]
// does. The directory has the mode 0500, so besides ptrace access it needs the process's user or
// CAP_DAC_READ_SEARCH. Of a number that is no longer that of an open file the error is [ErrNotOpen].
func (p Process) FilePlace(fd int) (Place, error) {
	return p.place(fdDir+"/"+strconv.Itoa(fd), ErrNotOpen)
}

// place reads a link. Missing is what it means if there is none and the task lives.
func (p Process) place(name string, missing error) (Place, error) {
	if p.fs.dev == 0 { // then "self" is nobody, or somebody else
		return Place{}, p.failed("open", name, errNotShown)
	}
	handle, err := openPlace(p.fd, name)
	if err != nil {
		errs := p.explainFile(name, err)
		if errors.Is(errs[0], ErrUnsupported) {
			errs[0] = missing
		}
		return Place{}, p.failed("open", name, errs...)
	}
	place, err := p.fs.ownPlace(handle)
	if closeErr := closeFD(handle); err == nil {
		err = closeErr
	}
	if err != nil {
		return Place{}, p.failed("locate", name, err)
	}
	return place, nil
}

// ownPlace tells where a handle of the reader is.
func (f *FS) ownPlace(handle int) (Place, error) {
	number := strconv.Itoa(handle)
	file, err := f.openFileInfo(f.fd, "self/fdinfo/"+number)
	if err != nil {
		return Place{}, err
	}
	place := Place{MountID: file.MountID}
	link := "self/fd/" + number
	n, err := readlink(f.fd, link, f.file[:placeLimit+1])
	switch {
	case err == nil && n > placeLimit:
		return Place{}, tooLong(placeLimit)
	case err == nil:
		place.Path = string(f.file[:n])
	case !nameTooLong(err):
		return Place{}, err
	}
	// The handle knows its type, and so does opening it once more by the reader's own link: "." would
	// ask the filesystem for a permission.
	again, err := openPlaceDir(f.fd, link)
	if notDirectory(err) {
		return place, nil
	}
	if err != nil {
		return Place{}, err
	}
	place.Directory = true
	return place, closeFD(again)
}
