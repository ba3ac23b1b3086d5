// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

// On a machine as a runtime leaves it, every container is known and whose it is, and nothing is found.
func TestMachinesOfEveryRuntime(t *testing.T) {
	for _, m := range proctest.Machines(t) {
		t.Run(m.Name, func(t *testing.T) {
			w := watch(t, m.Tree, nil)
			o := w.settled()
			var seen []proctest.Seen
			for i := range o.Containers {
				c := &o.Containers[i]
				s := proctest.Seen{ID: c.ID, Runtime: string(w.RuntimeOf(c.ID)), Pod: c.Pod.UID, Sandbox: c.Sandbox}
				for j := range c.Processes {
					s.PIDs = append(s.PIDs, c.Processes[j].PID)
				}
				seen = append(seen, s)
			}
			slices.SortFunc(seen, func(a, b proctest.Seen) int { return strings.Compare(a.ID, b.ID) })
			same(t, seen, m.Containers)
			same(t, told(o), []string(nil))
			same(t, w.Problems(), []Problem(nil))
		})
	}
}
