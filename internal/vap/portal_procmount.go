// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
A /proc without its masks.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].securityContext.procMount   Default and unset pass
	spec.{…}[*].securityContext.privileged   false and unset pass: privileged lifts the masks
	spec.volumes[*].hostPath.path   passes if it does not reach /proc
*/
var procMountConcern = concern{
	name:   "procMount",
	group:  groupPrivileges,
	judged: func(c *compiler) bool { return c.portals.ProcMount == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.ProcMount }),
	asks: func(*compiler) asks {
		return asks{
			container: []string{isPrivileged, "has(c.?securityContext.procMount) && c.securityContext.procMount != 'Default'"},
			volume:    hasHostPath,
		}
	},
	sentences: func(c *compiler) string {
		return sum(
			c.privilegedSentences("procMount", forbidden(removeOrFalse)),
			c.containers()+".filter(c, !(c.is.?securityContext.?procMount.orValue('') in ['', 'Default']))\n  .map(c, "+
				sentence("procMount", "c.at + '.securityContext.procMount is ' + "+shown("c.is.securityContext.procMount"), forbidden("remove it or set it to Default"))+")",
			c.hostPathSentences("procMount", reaches(c.folders()+"[i]", isolation.ProcPlaces()), forbidden(isolation.RemedyProc)),
		)
	},
}
