// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

/*
Mounts that travel: from the container to the node (Bidirectional), or from the node into the
container after it was started (HostToContainer).

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].volumeMounts[*].mountPropagation
      None and unset pass
*/

var mountPropagationCheck = portalCheck{
	name:   switchNames[mountPropagation],
	judged: mountPropagation.judged,
	causes: func(s scope, _ *portals, out []cause) []cause {
		s.containers(func(c container) {
			for i := range c.VolumeMounts {
				m := c.VolumeMounts[i].MountPropagation
				if m == nil || *m == "" || *m == corev1.MountPropagationNone {
					continue
				}
				out = append(out, cause{
					field: s.path(c, ".volumeMounts["+strconv.Itoa(i)+"].mountPropagation"), value: string(*m),
					remedy: "remove it or set it to None",
				})
			}
		})
		return out
	},
}
