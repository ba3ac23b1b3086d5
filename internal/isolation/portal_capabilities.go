// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

/*
Linux capabilities (capabilities(7)) that a container adds.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].securityContext.capabilities.add[*]
      passes if it is not forbidden; ALL passes if nothing is; names compare without case and
      without CAP_
  spec.{…}[*].securityContext.privileged
      false and unset pass: privileged adds ALL
*/

var capabilitiesCheck = portalCheck{
	name:   "capabilities",
	judged: func(p *portals) bool { return p.capabilities != nil },
	causes: causesCapabilities,
}

func causesCapabilities(s scope, p *portals, out []cause) []cause {
	s.containers(func(c container) {
		if isPrivileged(c) && p.capabilities.forbids(allCapabilities) {
			out = append(out, privilegedCause(s, c, None))
		}
		if c.SecurityContext == nil || c.SecurityContext.Capabilities == nil {
			return
		}
		for i, added := range c.SecurityContext.Capabilities.Add {
			if p.capabilities.forbids(capabilityName(string(added))) {
				out = append(out, cause{
					field: s.path(c, ".securityContext.capabilities.add["+strconv.Itoa(i)+"]"), value: string(added),
					remedy: "remove it; forbidden " + p.capabilities.String(),
				})
			}
		}
	})
	return out
}

const allCapabilities = "ALL"

// capabilityName is the name as it is compared.
func capabilityName(name string) string {
	return strings.TrimPrefix(strings.ToUpper(name), "CAP_")
}

// capabilitySet is what may not be added: forbidden, without what exemptions allow. Both are names
// as they are compared, and ALL.
type capabilitySet struct {
	forbidden, allowed []string
}

func capabilitySetOf(p *v1alpha1.CapabilitiesPortal) *capabilitySet {
	if p == nil {
		return nil
	}
	return &capabilitySet{forbidden: capabilityNames(p.Forbid)}
}

func capabilityNames(list []v1alpha1.Capability) []string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = capabilityName(string(list[i]))
	}
	return names
}

// without is the set with what an exemption opens. What is not judged stays so.
func (c *capabilitySet) without(e *v1alpha1.ExemptCapabilities) *capabilitySet {
	if c == nil || e == nil {
		return c
	}
	allowed := slices.Concat(c.allowed, capabilityNames(e.Allow))
	remaining := slices.DeleteFunc(slices.Clone(c.forbidden), func(name string) bool {
		return slices.Contains(allowed, name) || slices.Contains(allowed, allCapabilities)
	})
	return &capabilitySet{forbidden: remaining, allowed: allowed}
}

// forbids tells whether the name, as it is compared, may not be added.
func (c *capabilitySet) forbids(name string) bool {
	switch {
	case name == allCapabilities:
		return len(c.forbidden) > 0
	case slices.Contains(c.allowed, name):
		return false
	default:
		return slices.Contains(c.forbidden, name) || slices.Contains(c.forbidden, allCapabilities)
	}
}

// forbidsAny tells whether one of the names may not be added.
func (c *capabilitySet) forbidsAny(list []v1alpha1.Capability) bool {
	return slices.ContainsFunc(capabilityNames(list), c.forbids)
}

// String lists what is forbidden, for a message.
func (c *capabilitySet) String() string {
	out := listed(c.forbidden, func(name string) string { return Sanitize(name, 64) })
	if len(c.allowed) > 0 && slices.Contains(c.forbidden, allCapabilities) {
		out += " but " + listed(c.allowed, func(name string) string { return Sanitize(name, 64) })
	}
	return out
}
