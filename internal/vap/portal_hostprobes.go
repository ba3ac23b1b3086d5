// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

/*
Probes and lifecycle hooks that name a host.

Fields:

	spec.{initContainers,containers,ephemeralContainers}[*].{livenessProbe,readinessProbe,startupProbe}.{httpGet,tcpSocket}.host
	spec.{…}[*].lifecycle.{postStart,preStop}.{httpGet,tcpSocket}.host
	    empty and unset pass
*/
var hostProbesConcern = concern{
	name:   "hostProbes",
	group:  groupEndpoints,
	judged: func(c *compiler) bool { return c.portals.HostProbes == v1alpha1.PortalForbid },
	opens:  allows(func(e *v1alpha1.ExemptPortals) v1alpha1.Allow { return e.HostProbes }),
	asks: func(*compiler) asks {
		var terms []string
		for _, p := range probes {
			terms = append(terms, "has(c.?"+p+".?httpGet.host)", "has(c.?"+p+".?tcpSocket.host)")
		}
		hooks := make([]string, 0, 4)
		for _, hook := range []string{"postStart", "preStop"} {
			hooks = append(hooks, "has(c.lifecycle.?"+hook+".?httpGet.host)", "has(c.lifecycle.?"+hook+".?tcpSocket.host)")
		}
		return asks{container: append(terms, "has(c.lifecycle) && ("+anyOf(hooks...)+")")}
	},
	sentences: func(c *compiler) string {
		var fields, hosts []string
		for _, p := range append(probes, "lifecycle.postStart", "lifecycle.preStop") {
			for _, action := range []string{"httpGet", "tcpSocket"} {
				field := p + "." + action + ".host"
				fields = append(fields, "."+field)
				hosts = append(hosts, "c.is.?"+strings.ReplaceAll(field, ".", ".?"))
			}
		}
		named := c.containers() + `.filter(c, has(c.is.livenessProbe) || has(c.is.readinessProbe) || has(c.is.startupProbe) || has(c.is.lifecycle))
  .map(c, [` + strings.Join(hosts, ", ") + `]
    .transformList(i, h, h.orValue('') != '',
      c.at + ` + literals(fields) + `[i] + ' is ' + ` + oneLine("h.value()") + `)
    .join('\n'))`
		return flat(named) + "\n  .map(h, " + sentence("hostProbes", "h", forbidden("remove it: without it the probe or hook goes to the pod")) + ")"
	},
}

var probes = []string{"livenessProbe", "readinessProbe", "startupProbe"}
