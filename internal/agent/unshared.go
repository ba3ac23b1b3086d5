// SPDX-License-Identifier: Apache-2.0

package agent

import "github.com/bulkhead-dev/bulkhead/internal/isolation"

// unsharedOf counts, for each axis, the processes in no container that are in a namespace which is neither the node's nor a
// container's. A service with PrivateTmp= is one, and so are `ip netns exec` and the sandbox of a browser: that there are
// such is information. Who descends from a container is not among them, but is told as having left it.
func unsharedOf(look *isolation.Look) (unshared [isolation.NumAxes]int) {
	type namespace struct {
		axis isolation.Axis
		id   isolation.NamespaceID
	}
	theirs := make(map[namespace]bool)
	for i := range look.Containers {
		for j := range look.Containers[i].Processes {
			p := &look.Containers[i].Processes[j]
			for _, a := range isolation.Axes {
				theirs[namespace{a, p.Namespaces[a].ID}] = true
			}
		}
	}
	for i := range look.Outside {
		p := &look.Outside[i]
		if p.Strayed() {
			continue
		}
		for _, a := range isolation.Axes {
			ns := &p.Namespaces[a]
			if ns.Reason == "" && !isNodes(&look.Node[a], ns.ID) && !theirs[namespace{a, ns.ID}] {
				unshared[a]++
			}
		}
	}
	return unshared
}
