// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// entry is what /proc tells of one process, as seen from here.
type entry struct {
	pid, parent int
	inside      []int // its pid in each nested PID namespace, ours first
}

// FindInside translates a pid of the PID namespace whose first process is init
// into the pid that the process has for us.
func FindInside(init, pid int) (int, error) {
	entries, err := list()
	if err != nil {
		return 0, err
	}
	depth := len(entries[init].inside)
	if depth == 0 {
		return 0, fmt.Errorf("process %d has ended", init)
	}
	for _, e := range entries {
		if len(e.inside) >= depth && e.inside[depth-1] == pid && descends(entries, e.pid, init) {
			return e.pid, nil
		}
	}
	return 0, fmt.Errorf("process %d of the PID namespace of process %d has ended", pid, init)
}

// descends tells whether a process is ancestor or comes from it.
func descends(entries map[int]entry, pid, ancestor int) bool {
	for pid > 0 && pid != ancestor {
		pid = entries[pid].parent
	}
	return pid == ancestor
}

func list() (map[int]entry, error) {
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	entries := map[int]entry{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		e := parse(string(data))
		entries[e.pid] = e
	}
	return entries, nil
}

// parse reads the lines of /proc/<pid>/status that tell pids.
func parse(status string) entry {
	var e entry
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		numbers := make([]int, 0, len(fields))
		if len(fields) < 2 || !slices.Contains([]string{"Pid:", "PPid:", "NSpid:"}, fields[0]) {
			continue
		}
		for _, field := range fields[1:] {
			number, _ := strconv.Atoi(field) //nolint:errcheck // the kernel writes numbers
			numbers = append(numbers, number)
		}
		switch fields[0] {
		case "Pid:":
			e.pid = numbers[0]
		case "PPid:":
			e.parent = numbers[0]
		case "NSpid:":
			e.inside = numbers
		}
	}
	return e
}
