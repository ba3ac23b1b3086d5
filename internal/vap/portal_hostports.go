// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"strconv"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Ports of the node that lead into a container.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].ports[*].hostPort
	    0 and unset pass, and ports within an allowed range
	spec.{…}[*].ports[*].containerPort
	    counts as the host port of a pod with hostNetwork, where no host port is set
*/
var hostPortsConcern = concern{
	name:   "hostPorts",
	group:  groupEndpoints,
	judged: func(c *compiler) bool { return c.portals.HostPorts != nil },
	asks: func(*compiler) asks {
		return asks{
			pod:       []string{"has(object.spec.hostNetwork)"},
			container: []string{someOf("c.ports", "p", "has(p.hostPort)")},
		}
	},
	sentences: func(c *compiler) string {
		asked := c.containers() + `.filter(c, has(c.is.ports))
  .map(c, c.is.ports
    .map(p, p.?hostPort.orValue(0) == 0 && object.spec.?hostNetwork.orValue(false) ? p.?containerPort.orValue(0) : p.?hostPort.orValue(0))
    .transformList(i, p, ` + allOf("p != 0", not(c.portRanges()...)) + `,
      c.at + '.ports[' + string(i) + (c.is.ports[i].?hostPort.orValue(0) == 0 ? '].containerPort is ' : '].hostPort is ') + string(p))
    .join('\n'))`
		return flat(asked) + "\n  .map(p, " + sentence("hostPorts", "p", forbidden("use a Service instead; allowed "+isolation.DescribeHostPorts(c.portals.HostPorts))) + ")"
	},
}

// portRanges test whether a port p is in one of the ranges that the policy and its exemptions allow.
func (c *compiler) portRanges() []string {
	out := portsIn(c.portals.HostPorts)
	for i := range c.policy.Spec.Exemptions {
		e := &c.policy.Spec.Exemptions[i]
		if e.Portals == nil {
			continue
		}
		if in := anyOf(portsIn(e.Portals.HostPorts)...); in != "" {
			out = append(out, c.exemption(e)+" && ("+in+")")
		}
	}
	return out
}

func portsIn(p *v1alpha1.HostPortsPortal) []string {
	if p == nil {
		return nil
	}
	out := make([]string, len(p.Allow))
	for i, r := range p.Allow {
		from, to := strconv.Itoa(int(r.From)), strconv.Itoa(int(r.To))
		if out[i] = "p == " + from; r.From != r.To {
			out[i] = "p >= " + from + " && p <= " + to
		}
	}
	return out
}
