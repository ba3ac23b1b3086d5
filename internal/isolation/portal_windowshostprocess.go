// SPDX-License-Identifier: Apache-2.0

package isolation

import corev1 "k8s.io/api/core/v1"

/*
Windows containers that run as processes of the host (KEP-1981).

Fields:
  spec.securityContext.windowsOptions.hostProcess
  spec.{initContainers,containers,ephemeralContainers}[*].securityContext.windowsOptions.hostProcess
      false and unset pass
*/

var windowsHostProcessCheck = portalCheck{
	name:   switchNames[windowsHostProcess],
	judged: windowsHostProcess.judged,
	causes: func(s scope, _ *portals, out []cause) []cause {
		const field = ".securityContext.windowsOptions.hostProcess"
		const remedy = "remove it or set it to false"
		// What the pod says holds for debug containers, too.
		if c := s.Spec.SecurityContext; c != nil && s.runs() && isHostProcess(c.WindowsOptions) {
			out = append(out, cause{field: s.Path + field, value: "true", remedy: s.remedyOfPod(remedy)})
		}
		s.containers(func(c container) {
			if c.SecurityContext != nil && isHostProcess(c.SecurityContext.WindowsOptions) {
				out = append(out, cause{field: s.path(c, field), value: "true", remedy: remedy})
			}
		})
		return out
	},
}

func isHostProcess(o *corev1.WindowsSecurityContextOptions) bool {
	return o != nil && isTrue(o.HostProcess)
}
