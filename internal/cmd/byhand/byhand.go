// SPDX-License-Identifier: Apache-2.0

// Package byhand says how a person checks on a node what was observed there.
package byhand

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Cgroup is a command that shows in which control group a process is, made of a number alone.
func Cgroup(pid int64) string { return fmt.Sprintf("cat /proc/%d/cgroup", pid) }

// Namespace is a command that shows in which namespace a process is, or one thread of it if tid is not
// zero. It is made of numbers and names of the kernel: people paste commands.
func Namespace(a isolation.Axis, pid, tid int64) string {
	task := ""
	if tid > 0 {
		task = fmt.Sprintf("/task/%d", tid)
	}
	return fmt.Sprintf("readlink /proc/%d%s/ns/%s", pid, task, a.File())
}
