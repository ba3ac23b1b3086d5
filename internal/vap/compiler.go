// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// A concern is one axis or one portal, said in CEL.
type concern struct {
	// name of the axis or portal.
	name string
	// group is the variable in which the sentences stand. There are few variables: the API server
	// prepares each of them for every pod, also for those that ask for nothing.
	group string
	// judged tells whether the policy demands what a pod can fail.
	judged func(*compiler) bool
	// opens tells whether an exemption opens all of it. nil if sentences tells who is exempt.
	opens func(*v1alpha1.Exemption) bool
	// asks is what a pod must have to violate it.
	asks func(*compiler) asks
	// sentences is the list of what violates it, a sentence each, as the core words it.
	sentences func(*compiler) string
}

// concerns are all of them, in the order in which the core tells them. No field of a pod gives up
// the mount namespace, and none speaks of time.
var concerns = [...]concern{
	pidConcern, networkConcern, ipcConcern, utsConcern, userConcern, cgroupConcern,
	privilegedConcern, capabilitiesConcern, procMountConcern, hostPathsConcern, mountPropagationConcern,
	devicesConcern, runtimeSocketsConcern, hostPortsConcern, hostProbesConcern, windowsHostProcessConcern,
}

// The groups, each of concerns that stand one after the other.
const (
	groupIsolation  = "isolation"
	groupPrivileges = "privileges"
	groupVolumes    = "volumes"
	groupEndpoints  = "endpoints"
)

// asks are tests in CEL of which a violating pod passes one: of the pod, of one of its containers as
// c, or of one of its volumes as v. They are cheap, and may let others pass as well.
type asks struct {
	pod, container, volume []string
}

// compiler is one policy on its way.
type compiler struct {
	policy    *v1alpha1.IsolationPolicy
	portals   v1alpha1.Portals
	isolation v1alpha1.Isolation

	variables []admissionregistrationv1.Variable
	written   map[string]bool
	// judged are the concerns of which the policy speaks.
	judged []*concern
}

func newCompiler(p *v1alpha1.IsolationPolicy) (*compiler, error) {
	c := &compiler{policy: p, written: map[string]bool{}}
	if p.Spec.Portals != nil {
		c.portals = *p.Spec.Portals
	}
	if p.Spec.Isolation != nil {
		c.isolation = *p.Spec.Isolation
	}
	for i := range concerns {
		if concerns[i].judged(c) {
			c.judged = append(c.judged, &concerns[i])
		}
	}
	return c, c.affordable()
}

// write writes all variables.
func (c *compiler) write() {
	var groups []string
	lists := map[string][]string{}
	for _, concern := range c.judged {
		list := concern.sentences(c)
		if concern.opens != nil {
			if exempt := anyOf(c.covering(concern.opens)...); exempt != "" {
				list = "(" + exempt + " ? [] :\n" + list + ")"
			}
		}
		if lists[concern.group] == nil {
			groups = append(groups, concern.group)
		}
		lists[concern.group] = append(lists[concern.group], list)
	}
	for i, group := range groups {
		groups[i] = c.variable(group, func() string { return sum(lists[group]...) })
	}
	c.conclude(groups)
}

// variable writes a variable once, after those that its expression uses, and returns how to refer to
// it. The API server evaluates it once for each of validation, message and audit annotations, and
// only if it is used.
func (c *compiler) variable(name string, expression func() string) string {
	if !c.written[name] {
		c.written[name] = true
		e := expression()
		c.variables = append(c.variables, admissionregistrationv1.Variable{Name: name, Expression: e})
	}
	return "variables." + name
}

// sentence begins with the name of the concern, goes on with what its expression tells, and ends with
// the rest.
func sentence(name, expression, rest string) string {
	head, tail := literal(name+": ")+" + ", " + "+literal(rest)
	if rest == "" {
		tail = ""
	}
	// Literals that meet become one.
	if strings.HasPrefix(expression, "'") {
		head, expression = strings.TrimSuffix(head, "' + "), expression[1:]
	}
	if strings.HasSuffix(expression, "'") {
		tail, expression = strings.TrimPrefix(tail, " + '"), expression[:len(expression)-1]
	}
	return head + expression + tail
}

// forbidden is the rest of a sentence about a portal.
func forbidden(remedy string) string { return ", which is not allowed: " + remedy }

const removeOrFalse = "remove it or set it to false"
