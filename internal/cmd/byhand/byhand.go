// SPDX-License-Identifier: Apache-2.0

// Package byhand says how a person checks on a node what was observed there.
package byhand

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Namespace is a command that shows in which namespace a process is, or one thread of it if tid is not
// zero. It is made of numbers and names of the kernel: people paste commands.
func Namespace(a isolation.Axis, pid, tid int64) string {
	task := ""
	if tid > 0 {
		task = fmt.Sprintf("/task/%d", tid)
	}
	return fmt.Sprintf("readlink /proc/%d%s/ns/%s", pid, task, a.File())
}
