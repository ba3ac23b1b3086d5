// SPDX-License-Identifier: Apache-2.0

package vap

import "slices"

// asksName is the name of the one match condition.
const asksName = "asks-for-something"

// asks is the match condition: it is false of a pod that asks for nothing which the policy judges.
// Most pods do, and then the API server looks at nothing else of the policy. A list that is too long is
// something, where lists are walked at all.
func (c *compiler) asks() string {
	var pods, containers, securities, volumes []string
	for _, concern := range c.judged {
		a := concern.asks(c)
		pods = once(pods, a.pod)
		containers = once(containers, a.container)
		securities = once(securities, a.security)
		volumes = once(volumes, a.volume)
	}
	if len(securities) > 0 {
		containers = append([]string{"has(c.securityContext) && (" + joined(" ||\n    ", securities) + ")"}, containers...)
	}
	// Only a pod that is debugged has ephemeral containers.
	terms := append([]string{"has(object.spec.ephemeralContainers)"}, pods...)
	if len(containers) > 0 {
		some := ".exists(c,\n  " + joined(" ||\n  ", containers) + ")"
		terms = append(terms,
			tooLong("containers"), "object.spec.containers"+some,
			"has(object.spec.initContainers) && ("+tooLong("initContainers")+" ||\n  object.spec.initContainers"+some+")")
	}
	if len(volumes) > 0 {
		terms = append(terms, "has(object.spec.volumes) && ("+tooLong("volumes")+" || object.spec.volumes.exists(v, "+anyOf(volumes...)+"))")
	}
	return joined(" ||\n", terms)
}

// once appends what is not there yet.
func once(all, more []string) []string {
	for _, one := range more {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}
