// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Sockets that command a container runtime or the kubelet.

Fields:

	spec.volumes[*].hostPath.path   passes if it reaches none of them; /var/run is taken for /run
*/
var runtimeSocketsConcern = concern{
	name:   "runtimeSockets",
	group:  groupVolumes,
	judged: func(c *compiler) bool { return c.portals.RuntimeSockets == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.RuntimeSockets }),
	asks:   func(*compiler) asks { return asks{volume: hasHostPath} },
	sentences: func(c *compiler) string {
		folder := c.folders() + "[i]"
		return c.hostPathSentences("runtimeSockets",
			"["+folder+".startsWith('/var/run/') ? "+folder+".substring(4) : "+folder+"].exists(f,\n      "+reaches("f", isolation.RuntimeSocketPlaces())+")",
			forbidden("it reaches a socket that commands the container runtime or the kubelet: use a volume of another type"))
	},
}
