// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
The cgroup namespace.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].securityContext.privileged   true claims Host
*/
var cgroupConcern = concern{
	name:   "cgroup",
	group:  groupIsolation,
	judged: func(c *compiler) bool { return c.isolation.Cgroup == "Container" },
	opens: func(e *v1alpha1.Exemption) bool {
		return e.Isolation != nil && e.Isolation.Cgroup == "Host"
	},
	asks: func(*compiler) asks { return asks{container: []string{isPrivileged}} },
	sentences: func(c *compiler) string {
		return c.privilegedSentences("cgroup", " and claims Host, Container is required: "+removeOrFalse)
	},
}
