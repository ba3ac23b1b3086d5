// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
Windows containers that run as processes of the host (KEP-1981).

Fields:

	spec.securityContext.windowsOptions.hostProcess
	spec.{initContainers,containers,ephemeralContainers}[*].securityContext.windowsOptions.hostProcess
	    false and unset pass
*/
var windowsHostProcessConcern = concern{
	name:   "windowsHostProcess",
	group:  groupEndpoints,
	judged: func(c *compiler) bool { return c.portals.WindowsHostProcess == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.WindowsHostProcess }),
	asks: func(*compiler) asks {
		return asks{
			pod:       []string{"has(object.spec.?securityContext.windowsOptions)"},
			container: []string{"has(c.?securityContext.windowsOptions)"},
		}
	},
	sentences: func(c *compiler) string {
		rest := forbidden(removeOrFalse)
		return sum(
			when(c.runs()+" && object.spec.?securityContext.?windowsOptions.?hostProcess.orValue(false)",
				sentence("windowsHostProcess", "'spec.securityContext.windowsOptions.hostProcess is true"+forbidden("' + ")+remedyOfPod(removeOrFalse), "")),
			c.containers()+".filter(c, c.is.?securityContext.?windowsOptions.?hostProcess.orValue(false))\n  .map(c, "+
				sentence("windowsHostProcess", "c.at + '.securityContext.windowsOptions.hostProcess is true'", rest)+")",
		)
	},
}
