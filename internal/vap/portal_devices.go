// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Devices of the node.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].volumeDevices   none passes
	spec.volumes[*].hostPath   passes if its type is no device and its path reaches neither /dev nor /sys
	spec.{…}[*].securityContext.privileged   false and unset pass: privileged gives all devices
*/
var devicesConcern = concern{
	name:   "devices",
	group:  groupVolumes,
	judged: func(c *compiler) bool { return c.portals.Devices == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.Devices }),
	asks: func(*compiler) asks {
		return asks{container: []string{isPrivileged, "has(c.volumeDevices)"}, volume: hasHostPath}
	},
	sentences: func(c *compiler) string {
		raw := c.containers() + `.filter(c, has(c.is.volumeDevices))
  .map(c, c.is.volumeDevices.transformList(i, d,
      c.at + '.volumeDevices[' + string(i) + '].devicePath is ' + ` + oneLine("d.devicePath") + `)
    .join('\n'))`
		return sum(
			c.privilegedSentences("devices", forbidden(removeOrFalse)),
			flat(raw)+"\n  .map(d, "+sentence("devices", "d", forbidden("mount the volume as a file system (volumeMode: Filesystem)"))+")",
			c.hostPathSentences("devices",
				"(v.hostPath.?type.orValue('') in ['CharDevice', 'BlockDevice'] ||\n      "+reaches(c.folders()+"[i]", isolation.DevicePlaces())+")",
				forbidden("it reaches devices of the node: use a volume of another type, or a device plugin")),
		)
	},
}
