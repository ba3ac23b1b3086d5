// SPDX-License-Identifier: Apache-2.0

package vap

// containers is the variable of the containers that are judged, each with its place: of a new pod
// all, sidecars are among the init containers, and of a pod that is debugged the added ones. Ephemeral
// containers cannot be removed, so judging what was there before would refuse every later one.
func (c *compiler) containers() string {
	return c.variable("containers", func() string {
		return "(" + created + ` ?
  object.spec.?initContainers.orValue([]).transformList(i, c, {'at': dyn('spec.initContainers[' + string(i) + ']'), 'is': dyn(c)}) +
  object.spec.containers.transformList(i, c, {'at': dyn('spec.containers[' + string(i) + ']'), 'is': dyn(c)}) : []) +
object.spec.?ephemeralContainers.orValue([]).transformList(i, c, ` + created + ` ||
    !oldObject.spec.?ephemeralContainers.orValue([]).exists(former, former.name == c.name),
  {'at': dyn('spec.ephemeralContainers[' + string(i) + ']'), 'is': dyn(c)})`
	})
}

// runs tests whether a container is judged: it then joins the namespaces of the pod's sandbox.
func (c *compiler) runs() string { return "(" + created + " || " + c.containers() + ".size() > 0)" }

// isPrivileged tests a container.
const isPrivileged = "has(c.?securityContext.privileged) && c.securityContext.privileged"

// privileged is the variable of what makes containers privileged. It violates several portals, and
// the cgroup axis.
func (c *compiler) privileged() string {
	return c.variable("privilegedContainers", func() string {
		return c.containers() + `.filter(c, c.is.?securityContext.?privileged.orValue(false))
  .map(c, c.at + '.securityContext.privileged is true')`
	})
}

// privilegedSentences are the sentences of a concern about them.
func (c *compiler) privilegedSentences(name, rest string) string {
	return c.privileged() + ".map(p, " + sentence(name, "p", rest) + ")"
}
