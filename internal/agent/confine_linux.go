// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// forbidden are the system calls with which a process that may look at all others could do more than look:
// read or write their memory, take what they have open, go where they are, become another program, or
// change the machine. What the agent needs from a kernel is opening and reading files, and sockets.
var forbidden = []string{
	"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise", "kcmp",
	"setns", "unshare", "chroot", "pivot_root", "open_by_handle_at",
	"openat2", "creat", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"execve", "execveat",
	"mount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick",
	"bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset",
	"mknod", "mknodat", "link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2",
	"unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "truncate", "ftruncate", "chmod", "fchmod", "fchmodat",
	"chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr", "sethostname", "setdomainname",
}

// toWrite are the ways to open a file other than to read it. openat2 is left out of what is allowed: a filter
// cannot see its flags.
var toWrite = []seccomp.NameWithConditions{opening("openat", 2), opening("open", 1)}

func opening(name string, flags uint32) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{{
		Argument: flags, Operation: seccomp.BitsSet, Value: unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND,
	}}}
}

// Confine takes from this process, for good, what it needs only to start: from then on the system calls
// that are forbidden fail (EPERM, seccomp(2)), on every thread. Beside the capabilities of the pod it is
// the second wall: one of them is SYS_PTRACE, which is to be used for reading /proc and for nothing else.
// It does not cover system calls of another architecture (32-bit ones on a 64-bit kernel): the runtime's
// own profile does.
func Confine() error {
	architecture, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("give up what the agent does not need (seccomp): %w", err)
	}
	// Newer architectures lack the calls that others succeeded.
	names := slices.DeleteFunc(slices.Clone(forbidden), func(name string) bool {
		_, exists := architecture.SyscallNames[name]
		return !exists
	})
	filter := seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: names, NamesWithCondtions: toWrite}},
		},
	}
	if err := seccomp.LoadFilter(filter); err != nil {
		return fmt.Errorf("give up what the agent does not need (seccomp): %w", err)
	}
	return nil
}
