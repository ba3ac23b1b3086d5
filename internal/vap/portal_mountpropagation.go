// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
Mounts that travel between node and container.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].volumeMounts[*].mountPropagation   None and unset pass
*/
var mountPropagationConcern = concern{
	name:   "mountPropagation",
	group:  groupVolumes,
	judged: func(c *compiler) bool { return c.portals.MountPropagation == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.MountPropagation }),
	asks: func(*compiler) asks {
		return asks{container: []string{someOf("c.volumeMounts", "m", "has(m.mountPropagation)")}}
	},
	sentences: func(c *compiler) string {
		travelling := c.containers() + `.filter(c, has(c.is.volumeMounts))
  .map(c, c.is.volumeMounts.transformList(i, m, !(m.?mountPropagation.orValue('') in ['', 'None']),
      c.at + '.volumeMounts[' + string(i) + '].mountPropagation is ' + ` + oneLine("m.mountPropagation") + `)
    .join('\n'))`
		return flat(travelling) + "\n  .map(m, " + sentence("mountPropagation", "m", forbidden("remove it or set it to None")) + ")"
	},
}
