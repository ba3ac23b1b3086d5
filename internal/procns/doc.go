// SPDX-License-Identifier: Apache-2.0

// Package procns reads what a kernel tells about processes and their namespaces in a /proc tree,
// and nothing else: no other filesystem, no network, no Kubernetes, no judgement.
//
//	tree, err := procns.Open("/proc")
//	pids, err := tree.PIDs()
//	process, err := tree.Process(pids[0])
//	cgroups, err := process.Cgroups()
//	namespaces := process.Namespaces()
//
// The root is a parameter, so that the same code reads a mounted procfs and a tree of plain files.
//
// # One process, one handle
//
// Process numbers are reused. A [Process] is therefore a handle on the directory /proc/<pid>, and
// everything is read relative to it: procfs binds the directory to the process and not to its
// number, so such a handle never shows the data of a successor, and reads of a process that has
// ended fail with [ErrGone].
//
// # Errors
//
// [ErrGone] means that the process ended; drop it. [ErrExited] means that it is a zombie (or about
// to be one) and has given up the namespace. [ErrUnsupported] means that this kernel has no such
// file or kind of namespace. Every other error means that the process lives and could not be read:
// its isolation is unknown, which is never a pass. A refusal matches fs.ErrPermission. Content is
// never cut off silently: every read has a limit, and a longer file is an error.
//
// # Hostile text
//
// Process names and cgroup paths are chosen by those who are watched. This package returns them as
// the bytes that the kernel showed – they can hold terminal escapes, newlines and invalid UTF-8 –
// and interprets nothing in them. Quote them (%q) before they reach a terminal, a log or an API
// object.
//
// # What is never entered
//
// /proc/<pid>/root, cwd, exe, fd and map_files lead into filesystems of the process, which can be
// made to block the reader (FUSE). Root, cwd and files of fd are opened as places only (O_PATH, see
// [Process.Cwd]), which asks the filesystem nothing, and nothing behind them is looked at; exe and
// map_files are not opened. The links in ns/ are read as text and never followed.
//
// Kernel sources are named as in Linux 6.18.
package procns
