// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"cmp"
	"slices"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Class is the one class in which a policy counts a pod: the first that applies, in this order.
type Class uint8

const (
	// Unmatched: the policy does not speak of the pod.
	Unmatched Class = iota
	// Exempt: an exemption opens what the pod asks for or was seen with, and nothing else is wrong.
	Exempt
	// Breached: observed below what is required.
	Breached
	// Violating: the spec asks for less than is required.
	Violating
	// Unverified: not seen, or what was seen is no level.
	Unverified
	// Compliant: asks for what is required and was observed so.
	Compliant
)

// Sight is what a node's report says of a pod.
type Sight struct {
	// Levels are the pod's lowest; meaningful only if Unseen is empty.
	Levels Vector
	// Unseen is the reason why nothing that counts was seen: no report, a stale one, one that
	// does not name the pod. Empty if the pod was seen.
	Unseen string
	// Unseeable is set if that is for good: no agent can look there.
	Unseeable bool
	// Doubt is the reason why what was seen may be less than what there is: the node cannot see
	// everything. A level that is below what is required is then no better for it, and breaches; one
	// that is not proves nothing. Empty if there is none.
	Doubt string
	// Inspected is set if all of the pod's containers were looked at closely. If not, no finding on a
	// portal or on what is open proves nothing.
	Inspected bool
	// Findings of the report that concern the pod.
	Findings []v1alpha1.NodeFinding
}

// Observed is the pod's level on an axis; [Unknown] if nothing that counts was seen.
func (s *Sight) Observed(a Axis) Level {
	if s.Unseen != "" {
		return Unknown
	}
	return s.Levels[a]
}

// Assessment is what one policy says of one running pod.
type Assessment struct {
	Class Class
	// Verified is set if the pod was observed at or above what is required of it, exemptions
	// included. A compliant pod is verified; a violating one can be.
	Verified bool
	// Unseeable is set if the pod is unverified, and will stay so: the node's kernel does not show it, or no
	// agent runs there. It is no pass; it tells that nobody is to blame for not looking.
	Unseeable bool
	// Exempt names the exemptions that the pod needs: without them its spec violated more, or what
	// was observed breached more. In the order of the policy.
	Exempt []string
	// Findings, worst first, without the names of pod and node.
	Findings []v1alpha1.PolicyFinding
}

// Assess compares what is required with what the pod claims and with what was observed.
func (p *Policy) Assess(s *Subject, sight Sight) Assessment {
	j := p.Judge(s)
	if !j.Matched {
		return Assessment{}
	}
	demand, exempt := p.excused(scope{Subject: s}, sight)
	o := p.observed(&demand, sight)
	if o.unverified == nil {
		o.unverified = demand.unbound(s)
	}
	a := Assessment{Verified: len(o.breaches) == 0 && o.unverified == nil}
	a.Findings = mergeFindings(&j, o, &sight.Levels)
	a.Exempt = p.inOrder(j.Exempt, exempt)
	switch {
	case len(a.Exempt) > 0 && len(j.Violations) == 0 && len(o.breaches) == 0:
		a.Class = Exempt
	case len(o.breaches) > 0:
		a.Class = Breached
	case len(j.Violations) > 0:
		a.Class = Violating
	case o.unverified != nil:
		a.Class, a.Unseeable = Unverified, sight.unseeable()
	default:
		a.Class = Compliant
	}
	return a
}

// excused is what remains demanded of the scope after its exemptions, and which of them what was
// observed needs.
func (p *Policy) excused(s scope, sight Sight) (d demand, needed []string) {
	covering, _ := p.covering(s)
	if len(covering) == 0 {
		return p.demand, nil
	}
	for _, e := range p.demand.needed(covering, func(d *demand) int { return len(p.observed(d, sight).breaches) }) {
		needed = append(needed, e.Name)
	}
	return p.demand.relaxedBy(covering), needed
}

// inOrder names the exemptions that are in one of the lists, in the order of the policy.
func (p *Policy) inOrder(lists ...[]string) []string {
	var out []string
	for i := range p.exemptions {
		name := p.exemptions[i].Name
		if slices.ContainsFunc(lists, func(list []string) bool { return slices.Contains(list, name) }) {
			out = append(out, name)
		}
	}
	return out
}

// unseeable tells whether nobody can ever see the pod: of one in a sandbox with a kernel of its own all levels
// are NotApplicable.
func (s *Sight) unseeable() bool {
	return s.Unseen != "" && s.Unseeable || s.Unseen == "" && s.Levels == Fill(NotApplicable)
}

// outcome is what a comparison of required and observed gives.
type outcome struct {
	breaches   []v1alpha1.PolicyFinding
	unverified *v1alpha1.PolicyFinding
}

// observed compares what was observed with a demand.
func (p *Policy) observed(d *demand, sight Sight) outcome {
	var o outcome
	if sight.Unseen != "" {
		o.unverified = &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: Sanitize(sight.Unseen, 1024)}
		return o
	}
	for _, a := range Axes {
		level, required := sight.Levels[a], d.required[a]
		switch {
		case level.Below(required):
			o.breaches = append(o.breaches, breachFinding(a, level, required, sight.Findings))
		case o.unverified == nil && !level.Satisfies(required):
			o.unverified = &v1alpha1.PolicyFinding{
				Kind: v1alpha1.Unverified, Axis: a.API(),
				Message: unknownMessage(a, level, required, sight.Findings),
			}
		}
	}
	o.breaches = append(o.breaches, d.openings(sight.Findings)...)
	if o.unverified == nil {
		o.unverified = sight.disputed()
	}
	if o.unverified == nil {
		o.unverified = d.unread(&sight)
	}
	if sight.Doubt != "" {
		o.unverified = &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: Sanitize(sight.Doubt, 1024)}
	}
	return o
}

// openings are the findings of a report that breach the demand though no level does: a portal that it
// forbids was found open, and the spec did not ask for it; a handle leads out of a mount namespace
// that is to be the container's own; or a process has left a cgroup that is not to be the node's.
func (d *demand) openings(known []v1alpha1.NodeFinding) []v1alpha1.PolicyFinding {
	var out []v1alpha1.PolicyFinding
	for i := range known {
		n := &known[i]
		told := Told(n)
		switch {
		case n.Kind == v1alpha1.Portal && d.portals.judges(n.Portal) && (n.Portal != capabilitiesCheck.name || d.portals.capabilities.forbidsAny(n.Capabilities)):
			out = append(out, v1alpha1.PolicyFinding{
				Kind: v1alpha1.Portal, Portal: n.Portal, Message: n.Portal + " was found open, which is not allowed: " + told,
			})
		case n.Kind == v1alpha1.Leak && d.required[Mount] == Container:
			out = append(out, v1alpha1.PolicyFinding{
				Kind: v1alpha1.Leak, Axis: Mount.API(), Message: "the container reaches out of its mount namespace, Container is required: " + told,
			})
		case LeftItsCgroup(n) && Host.Below(d.required[Cgroup]):
			out = append(out, v1alpha1.PolicyFinding{
				Kind: v1alpha1.Escape, Axis: Cgroup.API(), Message: d.required[Cgroup].String() + " is required: " + told,
			})
		}
	}
	return out
}

// disputed is what the report says against all that it tells of the pod, such as processes of which nobody can say
// whose they are; nil if it says nothing of the kind. That nobody can ever see a pod stands in its levels.
func (s *Sight) disputed() *v1alpha1.PolicyFinding {
	if s.unseeable() {
		return nil
	}
	for i := range s.Findings {
		if n := &s.Findings[i]; n.Kind == v1alpha1.Unverified && concernsAll(n) {
			return &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: "what was seen of it is disputed: " + Told(n)}
		}
	}
	return nil
}

// Told is what a finding of a policy says of one of a report, at its end. The report is a node's word: bounded and
// sanitised like any other foreign text.
func Told(n *v1alpha1.NodeFinding) string { return Sanitize(n.Message, 512) }

// concernsAll tells whether a finding names neither axis nor portal.
func concernsAll(n *v1alpha1.NodeFinding) bool { return n.Axis == "" && n.Portal == "" }

// LeftItsCgroup tells whether a finding of a report is of a process that left its container's cgroup: it names no axis,
// for the process's namespaces may be the container's still.
func LeftItsCgroup(f *v1alpha1.NodeFinding) bool { return f.Kind == v1alpha1.Escape && f.Axis == "" }

// unread says why close looks do not prove what the demand is about: a container could not be looked at
// closely, or has not been yet; nil if they do, or if the demand is not about what they show.
func (d *demand) unread(sight *Sight) *v1alpha1.PolicyFinding {
	concerned := d.required[Mount] == Container
	for i := range portalChecks {
		concerned = concerned || portalChecks[i].judged(&d.portals)
	}
	if !concerned {
		return nil
	}
	if sight.unseeable() {
		m := "the node's kernel does not show it"
		for i := range sight.Findings {
			if n := &sight.Findings[i]; n.Kind == v1alpha1.Unverified {
				m = n.Message
			}
		}
		return &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: "no agent can look at it: " + Sanitize(m, 512)}
	}
	for i := range sight.Findings {
		n := &sight.Findings[i]
		switch {
		case n.Kind == v1alpha1.Unverified && n.Portal == PortalMounts:
			return &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: "it could not be looked at closely: " + Told(n)}
		case n.Kind == v1alpha1.Portal && n.Portal == capabilitiesCheck.name && len(n.Capabilities) == 0 && d.portals.capabilities != nil:
			return &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: "its node's report does not name the capabilities: " + Told(n)}
		}
	}
	if !sight.Inspected {
		return &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Message: "its mounts, its privileges and what it has open have not been looked at yet"}
	}
	return nil
}

// PortalMounts is the portal of a finding on a container that could not be looked at closely.
const PortalMounts = "mounts"

// Breaches lists the axes on which the levels are known and below what the policy requires,
// without regard to match and exemptions: for a host that knows no pods.
func (p *Policy) Breaches(levels Vector) []v1alpha1.PolicyFinding {
	return p.observed(&p.demand, Sight{Levels: levels}).breaches
}

// breachFinding is a Breach; if the report names an escape, a drift or a foreign namespace as its
// cause, it is that one finding, which says that it breaches.
func breachFinding(a Axis, level, required Level, known []v1alpha1.NodeFinding) v1alpha1.PolicyFinding {
	f := v1alpha1.PolicyFinding{
		Kind: v1alpha1.Breach, Axis: a.API(),
		Message: a.String() + " was observed as " + level.String() + ", " + required.String() + " is required",
	}
	var worst *v1alpha1.NodeFinding
	for i := range known {
		n := &known[i]
		if n.Axis == a.API() && n.Observed == level.API() && Severity(n.Kind) < Severity(f.Kind) {
			f.Kind, worst = n.Kind, n
		}
	}
	if worst != nil {
		f.Message += ": " + Told(worst)
	}
	return f
}

func unknownMessage(a Axis, level, required Level, known []v1alpha1.NodeFinding) string {
	m := a.String() + " is " + cmp.Or(level, Unknown).String() + ", " + required.String() + " is required"
	for i := range known {
		if n := &known[i]; n.Kind == v1alpha1.Unverified && (n.Axis == a.API() || concernsAll(n)) {
			return m + ": " + Told(n)
		}
	}
	return m
}

// mergeFindings lists each cause once: a breach that the spec asks for is one breach that says
// so, and no violation beside it.
func mergeFindings(j *Judgement, o outcome, observed *Vector) []v1alpha1.PolicyFinding {
	out := o.breaches
	for i := range j.Violations {
		v := &j.Violations[i]
		at := slices.IndexFunc(out, func(f v1alpha1.PolicyFinding) bool {
			a, ok := ParseAxis(v.Axis)
			return ok && f.Axis == a.API() && f.Kind == v1alpha1.Breach && v.claim <= observed[a]
		})
		if at >= 0 {
			out[at].Message = Sanitize(out[at].Message+"; the spec asks for it: "+v.Message, 1024)
			continue
		}
		out = append(out, v1alpha1.PolicyFinding{
			Kind: v1alpha1.Violation, Axis: v1alpha1.Axis(v.Axis), Portal: v.Portal,
			Message: Sanitize(v.Message, 1024),
		})
	}
	if o.unverified != nil {
		out = append(out, *o.unverified)
	}
	slices.SortStableFunc(out, func(x, y v1alpha1.PolicyFinding) int {
		return cmp.Compare(Severity(x.Kind), Severity(y.Kind))
	})
	return out
}
