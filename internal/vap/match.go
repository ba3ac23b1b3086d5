// SPDX-License-Identifier: Apache-2.0

package vap

import "slices"

// asksName is the name of the one match condition.
const asksName = "asks-for-something"

// asks is the match condition: it is false of a pod that asks for nothing which the policy judges.
// Most pods do, and then the API server looks at nothing else of the policy, so this is what a policy
// costs: see [some]. A list that is too long is something, where lists are walked at all.
func (c *compiler) asks() string {
	var pods, containers, volumes []string
	for _, concern := range c.judged {
		a := concern.asks(c)
		pods = once(pods, a.pod)
		containers = once(containers, a.container)
		volumes = once(volumes, a.volume)
	}
	// Only a pod that is debugged has ephemeral containers.
	terms := append([]string{"has(object.spec.ephemeralContainers)"}, pods...)
	if len(containers) > 0 {
		terms = append(terms,
			tooLong("object.spec.containers"),
			tooLong("object.spec.?initContainers"),
			// To the checker of types the elements of the two lists are different things.
			some("(dyn(object.spec.containers) + object.spec.?initContainers.orValue([]))", "c", joined(" ||\n  ", containers)))
	}
	if len(volumes) > 0 {
		terms = append(terms, someOf("object.spec.volumes", "v", anyOf(volumes...)))
	}
	return joined(" ||\n", terms)
}

// some tests whether an element of a list, which is there, passes a test. It is what exists does, in the
// words that cost the API server least: exists asks at every element whether to go on, by two calls.
func some(list, element, test string) string {
	return list + ".filter(" + element + ", " + test + ") != []"
}

// someOf is the same of a field, which may be missing, or too long to be walked.
func someOf(field, element, test string) string {
	return "has(" + field + ") && (" + tooLong(field) + " || " + some(field, element, test) + ")"
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
