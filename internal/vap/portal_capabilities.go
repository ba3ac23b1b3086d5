// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Linux capabilities that a container adds.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].securityContext.capabilities.add[*]
	    passes if it is not forbidden; ALL passes if nothing is
	spec.{…}[*].securityContext.privileged
	    false and unset pass: privileged adds ALL
*/
var capabilitiesConcern = concern{
	name:   "capabilities",
	group:  groupPrivileges,
	judged: func(c *compiler) bool { return c.portals.Capabilities != nil },
	asks: func(*compiler) asks {
		return asks{container: []string{isPrivileged, "has(c.?securityContext.?capabilities.add)"}}
	},
	sentences: func(c *compiler) string {
		forbids, anything, remedy := c.forbidsCapability()
		privileged := c.privilegedSentences("capabilities", forbidden(removeOrFalse))
		if anything != "" {
			privileged = "(" + anything + " ?\n  " + privileged + " : [])"
		}
		// containerd and CRI-O make names upper case as Go does, which makes ASCII of two runes that
		// are not.
		added := c.containers() + `.filter(c, c.is.?securityContext.?capabilities.?add.hasValue())
  .map(c, c.is.securityContext.capabilities.add
    .map(a, a.replace('ſ', 's').replace('ı', 'i').upperAscii())
    .map(a, a.startsWith('CAP_') ? a.substring(4) : a)
    .transformList(i, a, ` + forbids + `,
      c.at + '.securityContext.capabilities.add[' + string(i) + '] is ' + ` + oneLine("c.is.securityContext.capabilities.add[i]") + `)
    .join('\n'))`
		return sum(privileged,
			flat(added)+"\n  .map(a, 'capabilities: ' + a + ', which is not allowed: remove it; forbidden ' + "+remedy+")")
	},
}

// forbidsCapability tests a name a, as it is compared. anything tells whether something is forbidden
// at all; empty if that is certain. remedy lists what is.
func (c *compiler) forbidsCapability() (forbids, anything, remedy string) {
	names := isolation.CapabilityNames(c.portals.Capabilities.Forbid)
	allowed := c.allowedCapabilities()
	if allowed == "" {
		remedy = literal(isolation.DescribeCapabilities(c.portals.Capabilities))
		if slices.Contains(names, "ALL") {
			return "true", "", remedy
		}
		return "a == 'ALL' || a in " + literals(names), "", remedy
	}
	left := c.variable("forbiddenCapabilities", func() string {
		return "'ALL' in " + allowed + " ? [] : " + literals(names) + ".filter(f, !(f in " + allowed + "))"
	})
	forbids = "a == 'ALL' ? " + left + ".size() > 0 : !(a in " + allowed + ") && (a in " + left + " || 'ALL' in " + left + ")"
	remedy = left + ".transformList(i, f, i < 8, f).join(', ')"
	if slices.Contains(names, "ALL") {
		remedy += " + ' but ' + " + allowed + ".transformList(i, f, i < 8, f).join(', ')"
	}
	return forbids, left + ".size() > 0", remedy
}

// allowedCapabilities is the variable of what exemptions allow this pod; empty if none ever does.
func (c *compiler) allowedCapabilities() string {
	var lists []string
	for i := range c.policy.Spec.Exemptions {
		e := &c.policy.Spec.Exemptions[i]
		if e.Portals != nil && e.Portals.Capabilities != nil {
			lists = append(lists, "("+c.exemption(e)+" ? "+literals(isolation.CapabilityNames(e.Portals.Capabilities.Allow))+" : [])")
		}
	}
	if len(lists) == 0 {
		return ""
	}
	return c.variable("allowedCapabilities", func() string { return sum(lists...) })
}
