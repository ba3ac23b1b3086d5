// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// covering are the variables of the exemptions that open what is asked for. Several may cover one
// pod: they add up.
func (c *compiler) covering(opens func(*v1alpha1.Exemption) bool) []string {
	var out []string
	for i := range c.policy.Spec.Exemptions {
		if e := &c.policy.Spec.Exemptions[i]; opens(e) {
			out = append(out, c.exemption(e))
		}
	}
	return out
}

// exemption is the variable that tells whether an exemption covers the pod. A name of an exemption
// has no underscore, so that the variables' names differ as those do.
func (c *compiler) exemption(e *v1alpha1.Exemption) string {
	return c.variable("exemption_"+variableName(e.Name), func() string {
		terms := []string{"request.namespace in " + literals(e.Namespaces)}
		if len(e.ServiceAccounts) > 0 {
			terms = append(terms, "object.spec.?serviceAccountName.orValue(object.spec.?serviceAccount.orValue('default')) in "+literals(e.ServiceAccounts))
		}
		if !e.EphemeralContainers {
			terms = append(terms, created, "!has(object.spec.ephemeralContainers)")
		}
		if e.Expires != nil {
			// CEL has no clock: the API server sets the time of creation before it judges.
			terms = append(terms, "timestamp(object.metadata.creationTimestamp) < timestamp("+literal(e.Expires.UTC().Format(time.RFC3339Nano))+")")
		}
		return strings.Join(terms, " &&\n")
	})
}

// exemptIsolation are the variables of the exemptions for which a level on an axis is enough.
func (c *compiler) exemptIsolation(enough func(*v1alpha1.Isolation) bool) []string {
	return c.covering(func(e *v1alpha1.Exemption) bool { return e.Isolation != nil && enough(e.Isolation) })
}

// allows is the opening of a portal that is a switch.
func allows(of func(*v1alpha1.ExemptPortals) v1alpha1.Allow) func(*v1alpha1.Exemption) bool {
	return func(e *v1alpha1.Exemption) bool {
		return e.Portals != nil && of(e.Portals) == v1alpha1.PortalAllow
	}
}

func variableName(name string) string { return strings.ReplaceAll(name, "-", "_") }
