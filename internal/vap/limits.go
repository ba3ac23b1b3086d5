// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const (
	// maxExpression is how many characters the API server parses of an expression (cel-go,
	// parser.ExpressionSizeCodePointLimit).
	maxExpression = 100_000
	// maxExpressions is how many all of them may have: etcd takes 1.5 MiB, and what is stored has
	// them a second time in its managed fields if somebody applies it by hand.
	maxExpressions = 700_000
	// maxEachPath, and maxEach, are what one host path, and one host port or capability, of a pod may
	// cost to judge. An expression may cost 1,000,000 (k8s.io/apiserver/pkg/apis/cel, PerCallLimit), so
	// 500 host paths and 2,000 ports and capabilities fit whatever the policy lists.
	maxEachPath, maxEach = 1_200, 450
)

// most is how many of each there may be in a pod, so that judging it takes a moment: cel-go's tracker of
// costs takes time with the square of the length of a list.
var most = strconv.Itoa(isolation.MaxListed)

// tooLong tests whether a list has more: whether something stands behind the last place. It stands before
// everything that walks the list.
func tooLong(list string) string { return list + "[?" + most + "].hasValue()" }

// tooLarge tests whether a pod has more. A policy that cannot judge a pod refuses it.
func (c *compiler) tooLarge() string {
	containers := c.containers()
	var long, all []string
	for _, list := range []string{"?ports", "?securityContext.?capabilities.?add", "?volumeMounts", "?volumeDevices"} {
		size := "c.is." + list + ".orValue([]).size()"
		long, all = append(long, size+" > "+most), append(all, size)
	}
	var terms []string
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers", "volumes"} {
		terms = append(terms, tooLong("object.spec.?"+list))
	}
	terms = append(terms, containers+".size() > "+most, containers+".exists(c, "+anyOf(long...)+")",
		containers+".map(c, "+joined(" + ", all)+").sum() > "+strconv.Itoa(isolation.MaxListedInAll))
	return anyOf(terms...)
}

// affordable refuses what makes judging one element of a pod so dear that no ordinary pod would fit.
func (c *compiler) affordable() error {
	var paths, ports, capabilities int
	count := func(hostPaths *v1alpha1.HostPathsPortal, hostPorts *v1alpha1.HostPortsPortal, names []v1alpha1.Capability) {
		if hostPaths != nil {
			for i := range hostPaths.Allow {
				paths += 6 + len(hostPaths.Allow[i].PathPrefix)/10
			}
		}
		if hostPorts != nil {
			ports += 6 * len(hostPorts.Allow)
		}
		capabilities += 3 * len(names)
	}
	for i := range c.policy.Spec.Exemptions {
		if e := c.policy.Spec.Exemptions[i].Portals; e != nil {
			var names []v1alpha1.Capability
			if e.Capabilities != nil {
				names = e.Capabilities.Allow
			}
			count(e.HostPaths, e.HostPorts, names)
		}
	}
	var forbidden []v1alpha1.Capability
	if c.portals.Capabilities != nil {
		forbidden = c.portals.Capabilities.Forbid
	}
	count(c.portals.HostPaths, c.portals.HostPorts, forbidden)
	return errors.Join(
		dear(c.portals.HostPaths != nil, "hostPaths", paths, maxEachPath),
		dear(c.portals.HostPorts != nil, "hostPorts", ports, maxEach),
		dear(c.portals.Capabilities != nil, "capabilities", capabilities, maxEach),
	)
}

func dear(judged bool, portal string, cost, most int) error {
	if !judged || cost <= most {
		return nil
	}
	return fmt.Errorf("spec.portals.%[1]s and spec.exemptions[*].portals.%[1]s: together they list so much that one entry of a pod costs the API server about %d to judge, and at most %d is taken: list less, or use the engine Webhook",
		portal, cost, most)
}

// withinLimits refuses what an API server does not parse or store.
func (c *compiler) withinLimits() error {
	var errs []error
	total := 0
	check := func(what, expression string) {
		n := utf8.RuneCountInString(expression)
		total += n
		if n > maxExpression {
			errs = append(errs, fmt.Errorf("%s becomes an expression of %d characters, and the API server takes %d: list less, or use the engine Webhook", what, n, maxExpression))
		}
	}
	for i := range c.variables {
		check(c.source(c.variables[i].Name), c.variables[i].Expression)
	}
	check("spec", c.asks())
	if total > maxExpressions {
		errs = append(errs, fmt.Errorf("spec becomes expressions of %d characters in all, and at most %d are taken, so that it can be stored: use fewer or shorter exemptions, or the engine Webhook", total, maxExpressions))
	}
	return errors.Join(errs...)
}

// source is the field of the policy from which a variable comes.
func (c *compiler) source(variable string) string {
	for i := range c.policy.Spec.Exemptions {
		if e := &c.policy.Spec.Exemptions[i]; variable == "exemption_"+variableName(e.Name) {
			return fmt.Sprintf("spec.exemptions[%d]", i)
		}
	}
	switch variable {
	case groupIsolation:
		return "spec.isolation with the exemptions from it"
	case groupPrivileges, groupVolumes, groupEndpoints:
		return "spec.portals with the exemptions from it"
	case "readOnlyVolumes":
		return "spec.portals.hostPaths with the exemptions from it"
	case "allowedCapabilities", "forbiddenCapabilities":
		return "spec.portals.capabilities with the exemptions from it"
	}
	return "spec"
}
