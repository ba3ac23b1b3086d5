// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
The process namespace.

Fields:

	spec.hostPID                                    true claims Host
	spec.shareProcessNamespace                      true claims Pod
	spec.ephemeralContainers[*].targetContainerName set claims Pod
*/
var pidConcern = concern{
	name:  "pid",
	group: groupIsolation,
	judged: func(c *compiler) bool {
		return c.isolation.PID == "Pod" || c.isolation.PID == "Container"
	},
	asks: func(c *compiler) asks {
		a := asks{pod: []string{"has(object.spec.hostPID)"}}
		if c.isolation.PID == "Container" {
			a.pod = append(a.pod, "has(object.spec.shareProcessNamespace)")
		}
		return a
	},
	sentences: func(c *compiler) string {
		host := c.exemptIsolation(func(i *v1alpha1.Isolation) bool { return i.PID == "Host" })
		hostPID := func(required string) string {
			return when(allOf(c.runs(), "object.spec.?hostPID.orValue(false)", not(host...)),
				sentence("pid", "'spec.hostPID is true and claims Host, ' + "+required+" + ' is required: ' + "+remedyOfPod(removeOrFalse), ""))
		}
		if c.isolation.PID == "Pod" {
			return hostPID("'Pod'")
		}
		pod := c.exemptIsolation(func(i *v1alpha1.Isolation) bool { return i.PID == "Pod" })
		required := "'Container'"
		if enough := anyOf(pod...); enough != "" {
			required = "(" + enough + " ? 'Pod' : 'Container')"
		}
		shares := not(append(host, pod...)...)
		target := allOf("c.is.?targetContainerName.orValue('') != ''", shares)
		return sum(
			hostPID(required),
			when(allOf(c.runs(), "object.spec.?shareProcessNamespace.orValue(false)", shares),
				sentence("pid", "'spec.shareProcessNamespace is true and claims Pod, Container is required: ' + "+remedyOfPod(removeOrFalse), "")),
			c.containers()+".filter(c, "+target+")\n  .map(c, "+
				sentence("pid", "c.at + '.targetContainerName is ' + c.is.targetContainerName", " and claims Pod, Container is required: debug without --target")+")",
		)
	},
}
