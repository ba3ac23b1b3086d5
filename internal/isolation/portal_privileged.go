// SPDX-License-Identifier: Apache-2.0

package isolation

/*
Privileged containers: all capabilities, all devices, an unmasked /proc, the node's cgroups.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].securityContext.privileged
      false and unset pass
*/

var privilegedCheck = portalCheck{
	name:   switchNames[privileged],
	judged: privileged.judged,
	causes: func(s scope, _ *portals, out []cause) []cause {
		s.containers(func(c container) {
			if isPrivileged(c) {
				out = append(out, privilegedCause(s, c, None))
			}
		})
		return out
	},
}

func isPrivileged(c container) bool {
	return c.SecurityContext != nil && isTrue(c.SecurityContext.Privileged)
}

func privilegedCause(s scope, c container, claim Level) cause {
	return cause{
		field: s.path(c, ".securityContext.privileged"), value: "true", claim: claim,
		remedy: "remove it or set it to false",
	}
}
