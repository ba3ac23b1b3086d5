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
  spec.volumes[*].hostPath.path
      passes if it is not /proc, in /proc or above it: the node's /proc has no masks
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
		s.hostPaths(func(v hostPath) {
			if reaches(v.Path, procPlaces) {
				out = append(out, cause{
					field: s.pathOf(v), value: v.told(),
					remedy: RemedyProc,
				})
			}
		})
		return out
	},
}

// RemedyProc is the remedy against a volume that reaches them.
const RemedyProc = "it reaches the node's /proc, which has no masks: use a volume of another type"

// procPlaces are the folders of the node that have what a container's masks hide.
var procPlaces = []string{"/proc"}
