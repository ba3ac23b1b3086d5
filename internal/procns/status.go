// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"errors"
)

const (
	statusFile  = "status"
	statusLimit = 2 << 20 // 65,536 supplementary groups of up to 11 bytes, and masks of CPUs and memory nodes
)

// Status is what /proc/<pid>/status tells (proc_pid_status(5)), as far as it is needed. Everybody
// may read it. User and group numbers are those of the reader's user namespace; 65534 stands for
// those that it has no number for.
type Status struct {
	// Name is the process's name as the kernel escapes it here, so that it cannot forge lines:
	// newline and backslash are written \n and \\ (fs/proc/array.c, proc_task_name). All else is
	// raw. [Stat.Comm] is the unescaped one.
	Name string
	// State is as in [Stat.State].
	State byte
	// Tgid is the number of the process, of a thread that of the process it belongs to.
	Tgid int
	// PPid is the parent's number, 0 if the parent is outside the tree's pid namespace or there is
	// none.
	PPid int
	// NSpid holds the task's number in each pid namespace from the tree's down to its own: one
	// number for a process in the tree's own pid namespace, one more for each level below. The
	// columns are the kernel's, and readable without ptrace access. Nil before 4.1 and without
	// CONFIG_PID_NS.
	NSpid []int
	// Uid and Gid hold the real, effective, saved and filesystem IDs.
	Uid, Gid [4]uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// NoNewPrivs says that the process cannot gain privileges by execve (since 4.10; false before).
	NoNewPrivs bool
	// Seccomp is 0 without seccomp, 1 in strict mode, 2 with filters (since 3.8, with
	// CONFIG_SECCOMP; else 0).
	Seccomp int
	// SeccompFilters counts the filters (since 5.9; 0 before).
	SeccompFilters int
	// The capability sets, bit n being capability n (capabilities(7)): inheritable, permitted,
	// effective, bounding, ambient (since 4.3). They hold in the task's own user namespace.
	CapInh, CapPrm, CapEff, CapBnd, CapAmb uint64
	// Kthread says whether the task is a kernel thread; nil on kernels without the line (added in
	// 2023): use [Stat.KernelThread], which all have.
	Kthread *bool
	// Threads is as [Stat.NumThreads].
	Threads int
}

// The lines without which a status is refused. Every supported kernel prints them (capabilities
// since 2.6, CapBnd since 2.6.26), and a missing capability set must not read as an empty one.
var statusRequired = []string{
	"Name", "State", "Tgid", "PPid", "Uid", "Gid", "Threads", "CapInh", "CapPrm", "CapEff", "CapBnd",
}

// Status reads /proc/<pid>/status.
func (p Process) Status() (Status, error) {
	text, err := p.readRecord(statusFile, statusLimit)
	if err != nil {
		return Status{}, err
	}
	status, err := parseStatus(text)
	if err != nil {
		return Status{}, p.failed("parse", statusFile, err)
	}
	return status, nil
}

// parseStatus parses lines of "Key:\tvalue". Lines with other keys are skipped.
func parseStatus(text []byte) (Status, error) {
	if !bytes.HasSuffix(text, []byte{'\n'}) {
		return Status{}, errTruncated
	}
	var status Status
	var seen uint // bit n: line n of statusRequired
	for rest := text; len(rest) > 0; {
		var line []byte
		line, rest = nextLine(rest)
		key, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			return Status{}, malformed("no colon in line", line)
		}
		if !status.set(key, bytes.Trim(value, " \t")) {
			return Status{}, malformed("cannot read line", line)
		}
		for i, name := range statusRequired {
			if string(key) == name {
				if seen&(1<<i) != 0 {
					return Status{}, malformed("line is there twice", line)
				}
				seen |= 1 << i
			}
		}
	}
	for i, name := range statusRequired {
		if seen&(1<<i) == 0 {
			return Status{}, errors.New("no line " + name + ": truncated, or not from Linux")
		}
	}
	return status, nil
}

// set takes one line over. It says false if it knows the key and cannot read the value.
func (s *Status) set(key, value []byte) (ok bool) {
	ok = true
	switch string(key) {
	case "Name":
		s.Name = string(value)
	case "State": // "S (sleeping)"
		if ok = len(value) > 0; ok {
			s.State = value[0]
		}
	case "Tgid":
		s.Tgid, ok = parseInt(value)
	case "PPid":
		s.PPid, ok = parseInt(value)
	case "NSpid":
		s.NSpid, ok = parseList(value, parseInt)
		ok = ok && len(s.NSpid) > 0
	case "Uid":
		ok = parseIDs(value, &s.Uid)
	case "Gid":
		ok = parseIDs(value, &s.Gid)
	case "Groups":
		s.Groups, ok = parseList(value, parseUint32)
	case "NoNewPrivs":
		s.NoNewPrivs, ok = parseBool(value)
	case "Seccomp":
		s.Seccomp, ok = parseInt(value)
	case "Seccomp_filters":
		s.SeccompFilters, ok = parseInt(value)
	case "CapInh":
		s.CapInh, ok = parseHex(value)
	case "CapPrm":
		s.CapPrm, ok = parseHex(value)
	case "CapEff":
		s.CapEff, ok = parseHex(value)
	case "CapBnd":
		s.CapBnd, ok = parseHex(value)
	case "CapAmb":
		s.CapAmb, ok = parseHex(value)
	case "Kthread":
		var kthread bool
		kthread, ok = parseBool(value)
		s.Kthread = &kthread
	case "Threads":
		s.Threads, ok = parseInt(value)
	}
	return ok
}

func parseBool(text []byte) (value, ok bool) {
	value = string(text) == "1"
	return value, value || string(text) == "0"
}

// parseIDs parses exactly four numbers.
func parseIDs(text []byte, ids *[4]uint32) bool {
	for i := range ids {
		var field []byte
		var ok bool
		if field, text = nextField(text); len(field) == 0 {
			return false
		}
		if ids[i], ok = parseUint32(field); !ok {
			return false
		}
	}
	return len(text) == 0
}

// parseList parses any number of numbers.
func parseList[N any](text []byte, parse func([]byte) (N, bool)) ([]N, bool) {
	var list []N
	for {
		var field []byte
		if field, text = nextField(text); len(field) == 0 {
			return list, true
		}
		n, ok := parse(field)
		if !ok {
			return nil, false
		}
		list = append(list, n)
	}
}
