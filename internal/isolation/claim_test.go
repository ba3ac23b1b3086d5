// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// claimed is what a spec that says nothing claims: nothing of cgroups, for no field speaks of them.
var claimed = isolation.Vector{
	isolation.PID: isolation.Container, isolation.Network: isolation.Pod, isolation.IPC: isolation.Pod,
	isolation.UTS: isolation.Pod, isolation.Mount: isolation.Container, isolation.User: isolation.Host,
}

func TestClaimOf(t *testing.T) {
	const debugged = `
containers: [{name: app}, {name: proxy}]
ephemeralContainers: [{name: debug, targetContainerName: app}, {name: shell}]`
	const privileges = `
initContainers:
- {name: init, securityContext: {privileged: true}}
- {name: sidecar, restartPolicy: Always, securityContext: {privileged: true}}
- {name: plain, securityContext: {privileged: false}}
containers: [{name: app}]
ephemeralContainers: [{name: debug, securityContext: {privileged: true}}]`
	pid := func(l isolation.Level) isolation.Vector { return but(claimed, isolation.PID, l) }
	hostCgroup := but(claimed, isolation.Cgroup, isolation.Host)

	for name, c := range map[string]struct {
		spec, container string
		want            isolation.Vector
	}{
		"a spec that says nothing":                    {"", "app", claimed},
		"an init container":                           {privileges, "plain", claimed},
		"hostPID":                                     {"hostPID: true", "app", pid(isolation.Host)},
		"hostPID that is false":                       {"hostPID: false", "app", claimed},
		"shareProcessNamespace":                       {"shareProcessNamespace: true", "app", pid(isolation.Pod)},
		"shareProcessNamespace that is false":         {"shareProcessNamespace: false", "app", claimed},
		"hostPID beside shareProcessNamespace":        {"hostPID: true\nshareProcessNamespace: true", "app", pid(isolation.Host)},
		"a debug container with a target":             {debugged, "debug", pid(isolation.Pod)},
		"the target of a debug container":             {debugged, "app", pid(isolation.Pod)},
		"a sibling of the target":                     {debugged, "proxy", claimed},
		"a debug container without a target":          {debugged, "shell", claimed},
		"a debug container without a target, hostPID": {"hostPID: true" + debugged, "shell", pid(isolation.Host)},
		"a debug container with a target, hostPID":    {"hostPID: true" + debugged, "debug", pid(isolation.Host)},
		"hostNetwork takes uts along": {"hostNetwork: true", "app",
			but(but(claimed, isolation.Network, isolation.Host), isolation.UTS, isolation.Host)},
		"hostIPC":                        {"hostIPC: true", "app", but(claimed, isolation.IPC, isolation.Host)},
		"hostUsers that is true":         {"hostUsers: true", "app", claimed},
		"hostUsers that is false":        {"hostUsers: false", "app", but(claimed, isolation.User, isolation.Pod)},
		"hostUsers of a debug container": {"hostUsers: false" + debugged, "shell", but(claimed, isolation.User, isolation.Pod)},
		"a privileged init container":    {privileges, "init", hostCgroup},
		"a privileged sidecar":           {privileges, "sidecar", hostCgroup},
		"a privileged debug container":   {privileges, "debug", hostCgroup},
		"a sibling of privileged ones":   {privileges, "app", claimed},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := isolation.ClaimOf(podSpec(t, c.spec), c.container)
			if !ok {
				t.Fatalf("container %s is not known", c.container)
			}
			for _, a := range isolation.Axes {
				if got[a] != c.want[a] {
					t.Errorf("%s claims %q, want %q", a, got[a], c.want[a])
				}
			}
		})
	}
}

func TestContainerThatTheSpecDoesNotHaveClaimsNothing(t *testing.T) {
	if v, ok := isolation.ClaimOf(podSpec(t, "hostPID: true"), "other"); ok || v != (isolation.Vector{}) {
		t.Errorf("claims %v, %v", v, ok)
	}
}
