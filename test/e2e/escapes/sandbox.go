// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// zygote does what Chromium's does: without any privilege it starts a process in user, pid and network
// namespaces of its own, which then gives up the file system and most system calls.
func zygote([]string) error {
	cmd := exec.Command("/proc/self/exe", "renderer")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return cmd.Run()
}

// renderer is what the zygote starts.
func renderer([]string) error {
	if err := intoNothing(); err != nil {
		return err
	}
	filter := seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: []string{
				"openat", "execve", "ptrace", "mount", "umount2", "setns", "unshare", "chroot", "socket",
			}}},
		},
	}
	if err := seccomp.LoadFilter(filter); err != nil {
		return fmt.Errorf("give up system calls: %w", err)
	}
	return stay()
}

// intoNothing makes an empty directory the root: that of the open files of a process that has ended. A
// child that shares this process's root goes there, and ends as it finds no program there.
func intoNothing() error {
	child := exec.Command("/proc/self/exe")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_FS, Chroot: "/proc/self/fdinfo"}
	child.Dir = "/"
	switch err := child.Start(); {
	case err == nil:
		return errors.New("make an empty directory the root: there is a program in it")
	case !errors.Is(err, unix.ENOENT):
		return fmt.Errorf("make an empty directory the root: %w", err)
	}
	if _, err := os.Lstat("/proc"); err == nil {
		return errors.New("make an empty directory the root: /proc is still there")
	}
	return nil
}
