// SPDX-License-Identifier: Apache-2.0

package isolation

import corev1 "k8s.io/api/core/v1"

/*
A /proc without its masks, through which a container reaches settings of the kernel.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].securityContext.procMount
      Default and unset pass. hostUsers: false excuses nothing, as in Pod Security's restricted
      profile: newer API servers admit no other value without it anyway.
  spec.{…}[*].securityContext.privileged
      false and unset pass: privileged lifts the masks
*/

var procMountCheck = portalCheck{
	name:   switchNames[procMount],
	judged: procMount.judged,
	causes: func(s scope, _ *portals, out []cause) []cause {
		s.containers(func(c container) {
			if isPrivileged(c) {
				out = append(out, privilegedCause(s, c, None))
			}
			if c.SecurityContext == nil || c.SecurityContext.ProcMount == nil {
				return
			}
			if m := *c.SecurityContext.ProcMount; m != "" && m != corev1.DefaultProcMount {
				out = append(out, cause{
					field: s.path(c, ".securityContext.procMount"), value: string(m),
					remedy: "remove it or set it to Default",
				})
			}
		})
		return out
	},
}
