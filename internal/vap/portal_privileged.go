// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
Privileged containers.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].securityContext.privileged   false and unset pass
*/
var privilegedConcern = concern{
	name:   "privileged",
	group:  groupPrivileges,
	judged: func(c *compiler) bool { return c.portals.Privileged == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.Privileged }),
	asks:   func(*compiler) asks { return asks{container: []string{isPrivileged}} },
	sentences: func(c *compiler) string {
		return c.privilegedSentences("privileged", forbidden(removeOrFalse))
	},
}
