// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attempts are what a confined process may not do. Of each the number of the call is what counts: with
// these arguments none does anything.
var attempts = map[string]uintptr{
	"ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
	"pidfd_getfd": unix.SYS_PIDFD_GETFD, "setns": unix.SYS_SETNS, "unshare": unix.SYS_UNSHARE, "execve": unix.SYS_EXECVE, "execveat": unix.SYS_EXECVEAT,
	"mount": unix.SYS_MOUNT, "bpf": unix.SYS_BPF, "chroot": unix.SYS_CHROOT, "renameat2": unix.SYS_RENAMEAT2,
}

// confined is a helper: it tries everything on another thread than the one that confined itself, then
// reads a file and ends.
func confined() {
	if err := Confine(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for name, number := range attempts {
			if _, _, errno := unix.RawSyscall6(number, ^uintptr(0), 0, 0, 0, 0, 0); errno != unix.EPERM {
				fmt.Printf("%s: %v\n", name, errno)
			}
		}
		if err := exec.Command("/bin/true").Run(); !errors.Is(err, os.ErrPermission) {
			fmt.Printf("starting a program: %v\n", err)
		}
		for _, flags := range []int{os.O_RDWR, os.O_WRONLY, os.O_RDONLY | os.O_CREATE} {
			if _, err := os.OpenFile("/proc/self/mem", flags, 0o600); !errors.Is(err, os.ErrPermission) {
				fmt.Printf("opening a process's memory (%x): %v\n", flags, err)
			}
		}
		if _, err := os.ReadFile("/proc/self/status"); err != nil {
			fmt.Println(err)
		}
	}()
	<-done
	os.Exit(0)
}

func TestAConfinedAgentCanReadAndNotDo(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{helperEnv + "=confined"}
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, strings.TrimSpace(string(out)))
	}
}
