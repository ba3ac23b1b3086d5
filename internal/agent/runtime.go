// SPDX-License-Identifier: Apache-2.0

package agent

// RuntimeOf tells which runtime made a container that the last look saw, as far as its cgroup
// tells; empty if it does not.
func (l *Looker) RuntimeOf(container string) Runtime {
	for i := range l.records {
		if by := &l.records[i].by; by.Container == container && by.Runtime != "" {
			return by.Runtime
		}
	}
	return ""
}
