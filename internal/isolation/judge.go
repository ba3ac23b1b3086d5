// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"slices"
	"strings"
)

// Violation is a field of a spec that asks for less isolation than a policy requires, or for a
// portal that it forbids.
type Violation struct {
	// Policy by its name.
	Policy string
	// Axis or Portal by its name; the other is empty.
	Axis, Portal string
	// Field and Value as they stand in the object. Value is sanitised.
	Field, Value string
	// Message is one sentence: the field, what it claims, what is required, and what would pass.
	Message string

	claim Level // what the field claims; None for a portal
}

// Subject names what the violation is about: the axis or the portal.
func (v *Violation) Subject() string {
	if v.Axis != "" {
		return v.Axis
	}
	return v.Portal
}

// identity is the same for two violations of the same axis or portal by the same field, though what
// would pass may differ.
type identity struct{ subject, field string }

func (v *Violation) identity() identity { return identity{v.Subject(), v.Field} }

func identities(list []Violation) map[identity]bool {
	all := make(map[identity]bool, len(list))
	for i := range list {
		all[list[i].identity()] = true
	}
	return all
}

// Without are the violations of which there is none in the other list of the same axis or portal, by
// the same field.
func Without(list, other []Violation) []Violation {
	if len(other) == 0 {
		return list
	}
	there := identities(other)
	var out []Violation
	for i := range list {
		if !there[list[i].identity()] {
			out = append(out, list[i])
		}
	}
	return out
}

// Judgement is what one policy says of one subject.
type Judgement struct {
	Policy *Policy
	// Matched is false if the policy does not speak of the subject; then nothing else is set.
	Matched bool
	// Violations remain after the exemptions, in the order: axes, portals, fields.
	Violations []Violation
	// Exempt names the exemptions that were needed, in the order of the policy for each scope: without
	// any one of them there were more violations.
	Exempt []string
}

// Judge compares what the subject claims with what the policy requires.
func (p *Policy) Judge(s *Subject) Judgement {
	j := Judgement{Policy: p}
	if !p.Matches(s) {
		return j
	}
	j.Matched = true
	if p.demand == (demand{}) {
		return j
	}
	if s.tooLarge() {
		j.Violations = append(j.Violations, p.tooLargeViolation(s))
		return j
	}
	if s.Debug == nil {
		p.judge(scope{Subject: s}, &j)
	}
	if len(s.Spec.EphemeralContainers) > 0 {
		p.judge(scope{Subject: s, ephemeral: true}, &j)
	}
	return j
}

// judge adds what is wrong with one scope. Exemptions are looked at only when something is: most
// pods ask for nothing.
func (p *Policy) judge(s scope, j *Judgement) {
	if len(p.demand.violations(s)) == 0 {
		return
	}
	covering, expired := p.covering(s)
	d := p.demand.relaxedBy(covering)
	remaining := d.violations(s)
	for _, e := range p.demand.needed(covering, func(d *demand) int { return len(d.violations(s)) }) {
		if !slices.Contains(j.Exempt, e.Name) {
			j.Exempt = append(j.Exempt, e.Name)
		}
	}
	for _, e := range expired {
		relaxed := d.relaxedBy([]*exemption{e})
		noteExpired(remaining, relaxed.violations(s), e.describe(s.Created))
	}
	for i := range remaining {
		remaining[i].Policy = p.Name
	}
	// A volume is the same for the pod and for a debug container that mounts it.
	j.Violations = append(j.Violations, Without(remaining, j.Violations)...)
}

// noteExpired adds a note to the violations that would not be without the end of an exemption.
func noteExpired(violations, without []Violation, note string) {
	still := identities(without)
	for i := range violations {
		if !still[violations[i].identity()] {
			violations[i].Message += " (" + note + ")"
		}
	}
}

// violations lists everything in scope that the demand does not allow; nil, and without an
// allocation, if there is nothing.
func (d *demand) violations(s scope) []Violation {
	var out []Violation
	claimed := s.claims()
	for a, required := range d.required {
		if claimed[a] == None || claimed[a].Satisfies(required) {
			continue
		}
		for _, c := range axisChecks[a].causes(s, required, nil) {
			out = append(out, c.onAxis(Axis(a), required))
		}
	}
	for i := range portalChecks {
		check := &portalChecks[i]
		if !check.judged(&d.portals) {
			continue
		}
		for _, c := range check.causes(s, &d.portals, nil) {
			out = append(out, c.onPortal(check.name))
		}
	}
	return out
}

func (c *cause) onAxis(a Axis, required Level) Violation {
	v := Violation{Axis: a.String(), Field: c.field, Value: c.shown(), claim: c.claim}
	v.Message = c.field + " is " + v.Value + " and claims " + c.claim.String() + ", " +
		required.String() + " is required: " + c.remedy
	return v
}

func (c *cause) onPortal(portal string) Violation {
	v := Violation{Portal: portal, Field: c.field, Value: c.shown()}
	v.Message = c.field + " is " + v.Value + ", which is not allowed: " + c.remedy
	return v
}

func (c *cause) shown() string { return Sanitize(c.value, 256) }

// Summary tells all violations of one judgement in one line, for places that have no more.
func (j *Judgement) Summary() string {
	parts := make([]string, len(j.Violations))
	for i := range j.Violations {
		parts[i] = j.Violations[i].Subject() + ": " + j.Violations[i].Message
	}
	return strings.Join(parts, "; ")
}
