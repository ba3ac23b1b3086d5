// SPDX-License-Identifier: Apache-2.0

package isolation

/*
The cgroup namespace.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].securityContext.privileged
      true claims Host; otherwise there is no claim: no field of the API speaks of it, runtimes
      on cgroup v1 give Host and those on v2 give Container
*/

var cgroupCheck = axisCheck{claim: claimCgroup, causes: causesCgroup}

func claimCgroup(s scope) Level {
	level := None
	s.containers(func(c container) {
		if isPrivileged(c) {
			level = Host
		}
	})
	return level
}

func causesCgroup(s scope, _ Level, out []cause) []cause {
	s.containers(func(c container) {
		if isPrivileged(c) {
			out = append(out, privilegedCause(s, c, Host))
		}
	})
	return out
}
