// SPDX-License-Identifier: Apache-2.0

package isolation

// Remembered is how many things the tracker remembers.
func (t *Tracker) Remembered() int {
	m := &t.memory
	return len(m.owners) + len(m.where) + len(m.started) + len(m.suspicions) + len(m.strays) + len(m.escaped)
}
