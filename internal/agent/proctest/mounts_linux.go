// SPDX-License-Identifier: Apache-2.0

package proctest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// InManyMounts calls do on a thread that is in a mount namespace of its own, which has the machine's mounts
// and so many hundreds more: of the directory of, or of a file system of the namespace's own if that is empty.
// What do starts is there too; the mounts end with it. The test is skipped where this cannot be made.
func InManyMounts(t *testing.T, hundreds int, of string, do func()) {
	t.Helper()
	dir := t.TempDir()
	var failed error
	done := make(chan struct{})
	var apart func()
	apart = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the first thread stays where it is: it tells where the process is
			defer runtime.UnlockOSThread()
			go apart()
			<-done
			return
		}
		// Never unlocked, so that the thread ends with this function.
		defer close(done)
		if failed = manyMounts(dir, hundreds, of); failed == nil {
			do()
		}
	}
	go apart()
	<-done
	if failed != nil {
		t.Skipf("such mounts cannot be made: %v", failed)
	}
}

// manyMounts makes the first hundred, and then mounts that again and again with all that is in it.
func manyMounts(dir string, hundreds int, of string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("many", dir, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	bound := func(source string, recursive uintptr, elements ...string) error {
		point := filepath.Join(append([]string{dir}, elements...)...)
		if err := unix.Mkdir(point, 0o700); err != nil {
			return fmt.Errorf("mkdir %s: %w", point, err)
		}
		if source == "" {
			source = point
		}
		if err := unix.Mount(source, point, "", unix.MS_BIND|recursive, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", source, point, err)
		}
		return nil
	}
	if err := bound("", 0, "0"); err != nil {
		return err
	}
	for i := 1; i < 100; i++ {
		if err := bound(of, 0, "0", strconv.Itoa(i)); err != nil {
			return err
		}
	}
	for i := 1; i < hundreds; i++ {
		if err := bound(filepath.Join(dir, "0"), unix.MS_REC, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}
