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
		if c.isolation.PID == "Pod" {
			return when(allOf(created, "object.spec.?hostPID.orValue(false)", not(host...)),
				literal("pid: spec.hostPID is true and claims Host, Pod is required: "+removeOrFalse))
		}
		pod := c.exemptIsolation(func(i *v1alpha1.Isolation) bool { return i.PID == "Pod" })
		hostPID := literal("pid: spec.hostPID is true and claims Host, Container is required: " + removeOrFalse)
		if enough := anyOf(pod...); enough != "" {
			hostPID = "'pid: spec.hostPID is true and claims Host, ' + (" + enough + " ? 'Pod' : 'Container') + ' is required: " + removeOrFalse + "'"
		}
		shares := not(append(host, pod...)...)
		target := allOf("c.is.?targetContainerName.orValue('') != ''", shares)
		return sum(
			when(allOf(created, "object.spec.?hostPID.orValue(false)", not(host...)), hostPID),
			when(allOf(created, "object.spec.?shareProcessNamespace.orValue(false)", shares),
				literal("pid: spec.shareProcessNamespace is true and claims Pod, Container is required: "+removeOrFalse)),
			c.containers()+".filter(c, "+target+")\n  .map(c, "+
				sentence("pid", "c.at + '.targetContainerName is ' + c.is.targetContainerName", " and claims Pod, Container is required: debug without --target")+")",
		)
	},
}
