// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package process starts processes for benchmarks, and tells what they use.
package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock is the clock of the processor time that a process has used, user and system, in the
// numbering of clock_gettime(2): the complement of the pid, and CPUCLOCK_SCHED.
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// CPU is the processor time that a process has used, to the nanosecond.
func CPU(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(cpuClock(pid), &t); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Busy is the processor time that the whole machine has used, what was stolen from it included.
// proc_stat(5) counts in hundredths of a second.
func Busy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q, not with the processor's times", line)
	}
	var total uint64
	for i, f := range fields[1:9] {
		if i == 3 || i == 4 { // idle, iowait
			continue
		}
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		total += n
	}
	return time.Duration(total) * 10 * time.Millisecond, nil
}

// Memory of a process, in bytes.
type Memory struct {
	// Peak is the most that was ever resident, Resident what is now, Anonymous how much of that is in no file.
	Peak, Resident, Anonymous int64
}

// MemoryOf is what a process uses now, and used at most.
func MemoryOf(pid int) (Memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		var into *int64
		switch key {
		case "VmHWM":
			into = &m.Peak
		case "VmRSS":
			into = &m.Resident
		case "RssAnon":
			into = &m.Anonymous
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("/proc/%d/status: %s: %w", pid, key, err)
		}
		*into = kib << 10
	}
	return m, nil
}

// Child is the process of that name that this one started.
func Child(name string) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has gone
		}
		before, after, ok := bytes.Cut(b, []byte(" ("+name+") "))
		fields := strings.Fields(string(after))
		if !ok || len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		return strconv.Atoi(string(before))
	}
	return 0, fmt.Errorf("no process %q was started from here", name)
}

// Machine is where the figures come from.
type Machine struct {
	Processor, Kernel, Go string
	Processors            int
	MemoryBytes           int64
	// Load is the load average of the minute before.
	Load string
}

// Here is the machine that this runs on.
func Here() Machine {
	m := Machine{Go: runtime.Version(), Processors: runtime.NumCPU(), Processor: runtime.GOARCH}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(after, "\n")
			m.Processor = strings.TrimSpace(strings.TrimLeft(line, "\t :"))
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		m.MemoryBytes = int64(s.Totalram) * int64(s.Unit)
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(b), " ")
	}
	return m
}
