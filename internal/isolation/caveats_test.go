// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Else an exemption could open everything, and its author would not be told.
func TestAGreedyPodAsksForEverything(t *testing.T) {
	found := isolation.DemandedOfGreedy(policyNamed(t, "p", `
isolation: {pid: Pod, network: Pod, ipc: Pod, uts: Pod, user: Pod, cgroup: Container}
portals:
  privileged: Forbid
  procMount: Forbid
  mountPropagation: Forbid
  devices: Forbid
  runtimeSockets: Forbid
  windowsHostProcess: Forbid
  hostProbes: Forbid
  hostPaths: {}
  hostPorts: {}
  capabilities: {forbid: [CHOWN]}`))
	// No field of a pod gives up the mount namespace, and none speaks of time.
	for _, name := range append([]string{"pid", "network", "ipc", "uts", "user", "cgroup"}, isolation.PortalNames()...) {
		if !slices.ContainsFunc(found, func(v isolation.Violation) bool { return v.Subject() == name }) {
			t.Errorf("it does not ask for %s", name)
		}
	}
}
