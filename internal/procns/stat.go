// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"time"
)

const (
	statFile  = "stat"
	statLimit = 4 << 10 // a name of at most 64 bytes (fs/proc/array.c, proc_task_name) and some fifty numbers
)

// Flags of a task, as [Stat.Flags] shows them (include/linux/sched.h).
const (
	flagExiting = 0x00000004 // PF_EXITING: getting shut down
	flagKthread = 0x00200000 // PF_KTHREAD: a kernel thread
)

// Stat is what /proc/<pid>/stat tells (proc_pid_stat(5)), as far as it is needed. Everybody may
// read it.
type Stat struct {
	// PID is the number in the tree's pid namespace, of a thread its TID.
	PID int
	// Comm is the name that the process gave itself, raw: up to 15 bytes of anything but NUL, ')'
	// and newlines included; kernel threads can have longer ones.
	Comm string
	// State is R, S, D, T, t, I, Z (zombie: exited and not yet waited for), X (dead), and letters
	// of other kernels.
	State byte
	// PPID is the parent's number, 0 if the parent is outside the tree's pid namespace or there is
	// none.
	PPID int
	// Session is the number of the process that leads or led the session, 0 if that is outside the tree's pid namespace or the
	// task is being reaped. Nobody else gets the number while there is a process in the session; only setsid(2) leads out of one, into a new one.
	Session int
	// Flags are the kernel's flags of the task; see [Stat.KernelThread].
	Flags uint32
	// NumThreads counts the threads that are not reaped yet. A process in state Z with more than
	// one is alive: only its first thread ended, by pthread_exit.
	NumThreads int
	// StartTime is when the task started, in clock ticks since boot, [ClockTicks] to a second, and
	// with PID the only identity of a process. It is counted in the reader's time namespace (since
	// 5.5), as is [FS.BootTime].
	StartTime uint64
}

// KernelThread says that the task is the kernel's own (PF_KTHREAD), which is in the kernel's
// initial namespaces. A process cannot give itself this flag, on any kernel; see [Status.Kthread]
// for the newer way.
func (s Stat) KernelThread() bool { return s.Flags&flagKthread != 0 }

// Exited says that the task is past the point of giving up its namespaces: a zombie, dead or
// exiting. Other threads of its process may live on.
func (s Stat) Exited() bool {
	return s.State == 'Z' || s.State == 'X' || s.Flags&flagExiting != 0
}

// Started gives the start on the wall clock, to the tick and no better than boot was known: the
// kernel moves the time of boot when the clock is set. It is for showing; compare StartTime.
func (s Stat) Started(boot time.Time) time.Time {
	const second = uint64(clockTicks)
	return boot.Add(time.Duration(s.StartTime/second)*time.Second +
		time.Duration(s.StartTime%second)*(time.Second/clockTicks))
}

const clockTicks = 100

// ClockTicks is the number of clock ticks in a second, the unit of [Stat.StartTime]: the kernel's
// USER_HZ, which sysconf(_SC_CLK_TCK) reports. It is a constant of the interface to user space and
// not the kernel's CONFIG_HZ: include/uapi/asm-generic/param.h defines 100, and of all
// architectures only alpha and ia64 said otherwise, neither of which Go supports.
func ClockTicks() uint64 { return clockTicks }

// Stat reads /proc/<pid>/stat.
func (p Process) Stat() (Stat, error) {
	text, err := p.readRecord(statFile, statLimit)
	if err != nil {
		return Stat{}, err
	}
	stat, err := parseStat(text)
	if err != nil {
		return Stat{}, p.failed("parse", statFile, err)
	}
	return stat, nil
}

// parseStat parses "PID (COMM) STATE PPID …". The name can hold whatever the rest is made of, so it
// ends at the last parenthesis: after it come numbers and one letter only.
func parseStat(text []byte) (Stat, error) {
	if !bytes.HasSuffix(text, []byte{'\n'}) {
		return Stat{}, errTruncated
	}
	from, to := bytes.Index(text, []byte(" (")), bytes.LastIndex(text, []byte(") "))
	if from < 0 || to < from+2 {
		return Stat{}, malformed("no name in parentheses", text)
	}
	pid, ok := parseInt(text[:from])
	if !ok || pid == 0 {
		return Stat{}, malformed("does not begin with a process number", text)
	}
	stat := Stat{PID: pid, Comm: string(text[from+2 : to])}
	if err := stat.parseNumbers(text[to+2 : len(text)-1]); err != nil {
		return Stat{}, err
	}
	return stat, nil
}

// parseNumbers parses what follows the name, field 3 (state) and on, up to field 22 (starttime).
func (s *Stat) parseNumbers(text []byte) error {
	rest := text
	for number := 3; number <= 22; number++ {
		var field []byte
		field, rest = nextField(rest)
		ok := len(field) > 0
		switch number {
		case 3:
			if ok = len(field) == 1; ok {
				s.State = field[0]
			}
		case 4:
			s.PPID, ok = parseInt(field)
		case 6:
			// Of a task that is being reaped the kernel says -1 (fs/proc/array.c, do_task_stat).
			if s.Session, ok = parseInt(field); !ok {
				ok = string(field) == "-1"
			}
		case 9:
			s.Flags, ok = parseUint32(field)
		case 20:
			s.NumThreads, ok = parseInt(field)
		case 22:
			s.StartTime, ok = parseUint(field)
		}
		if !ok {
			return malformed(fieldNames[number]+" is not what it should be", field)
		}
	}
	return nil
}

// fieldNames name the fields of stat as proc_pid_stat(5) does, for errors.
var fieldNames = [23]string{
	3: "field 3 (state)", 4: "field 4 (ppid)", 5: "field 5 (pgrp)", 6: "field 6 (session)", 7: "field 7 (tty_nr)",
	8: "field 8 (tpgid)", 9: "field 9 (flags)", 10: "field 10 (minflt)", 11: "field 11 (cminflt)",
	12: "field 12 (majflt)", 13: "field 13 (cmajflt)", 14: "field 14 (utime)", 15: "field 15 (stime)",
	16: "field 16 (cutime)", 17: "field 17 (cstime)", 18: "field 18 (priority)", 19: "field 19 (nice)",
	20: "field 20 (num_threads)", 21: "field 21 (itrealvalue)", 22: "field 22 (starttime)",
}
