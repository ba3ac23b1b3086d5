// SPDX-License-Identifier: Apache-2.0

package isolation

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

// Remembered is how many things the tracker remembers.
func (t *Tracker) Remembered() int {
	m := &t.memory
	return len(m.owners) + len(m.where) + len(m.started) + len(m.suspicions) + len(m.strays) + len(m.escaped)
}

// DemandedOfGreedy is what the policy finds wrong with the pod that asks for everything.
func DemandedOfGreedy(p *v1alpha1.IsolationPolicy) []Violation {
	return demanded(p, nil, greedy(&v1alpha1.Exemption{}))
}

// PortalNames are the names of all portals.
func PortalNames() []string {
	var names []string
	for i := range portalChecks {
		names = append(names, portalChecks[i].name)
	}
	return names
}
