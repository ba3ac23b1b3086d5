// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strconv"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

/*
Ports of the node that lead into a container.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].ports[*].hostPort
      0 and unset pass, and ports within an allowed range
  spec.{…}[*].ports[*].containerPort
      counts as the host port of a pod with hostNetwork: the API server copies it there on Pods,
      not on templates and not in a file, and the verdict must be the same everywhere
*/

var hostPortsCheck = portalCheck{
	name:   "hostPorts",
	judged: func(p *portals) bool { return p.hostPorts != nil },
	causes: causesHostPorts,
}

func causesHostPorts(s scope, p *portals, out []cause) []cause {
	s.containers(func(c container) {
		for i := range c.Ports {
			port, field := c.Ports[i].HostPort, "].hostPort"
			if port == 0 && s.Spec.HostNetwork {
				port, field = c.Ports[i].ContainerPort, "].containerPort"
			}
			if port == 0 || p.hostPorts.allows(port) {
				continue
			}
			out = append(out, cause{
				field:  s.path(c, ".ports["+strconv.Itoa(i)+field),
				value:  strconv.Itoa(int(port)),
				remedy: "use a Service instead; allowed " + p.hostPorts.String(),
			})
		}
	})
	return out
}

// portAllowance is a list of allowed ranges of ports.
type portAllowance struct {
	ranges []v1alpha1.PortRange
}

func portAllowanceOf(p *v1alpha1.HostPortsPortal) *portAllowance {
	if p == nil {
		return nil
	}
	return &portAllowance{ranges: p.Allow}
}

// and is what both allow together. What is not judged stays so: an exemption cannot arm a portal.
func (a *portAllowance) and(b *portAllowance) *portAllowance {
	if a == nil || b == nil {
		return a
	}
	both := make([]v1alpha1.PortRange, 0, len(a.ranges)+len(b.ranges))
	return &portAllowance{ranges: append(append(both, a.ranges...), b.ranges...)}
}

func (a *portAllowance) allows(port int32) bool {
	for _, r := range a.ranges {
		if port >= r.From && port <= r.To {
			return true
		}
	}
	return false
}

// String lists what is allowed, for a message.
func (a *portAllowance) String() string {
	return listed(a.ranges, func(r v1alpha1.PortRange) string {
		if r.From == r.To {
			return strconv.Itoa(int(r.From))
		}
		return strconv.Itoa(int(r.From)) + "-" + strconv.Itoa(int(r.To))
	})
}
