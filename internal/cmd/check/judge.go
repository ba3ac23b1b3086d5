// SPDX-License-Identifier: Apache-2.0

package check

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// policy is a policy with what tells which of its exemptions opens what.
type policy struct {
	*isolation.Policy
	bare  *isolation.Policy            // without exemptions
	alone map[string]*isolation.Policy // with one exemption, by its name
	why   map[string]exemption
}

func policiesOf(loaded *policies.Loaded) ([]*policy, error) {
	all := make([]*policy, len(loaded.Policies))
	for i, compiled := range loaded.Policies {
		p := &policy{Policy: compiled, alone: make(map[string]*isolation.Policy), why: make(map[string]exemption)}
		source := loaded.Sources[i]
		var err error
		if p.bare, err = compileWith(source, nil); err != nil {
			return nil, err
		}
		for _, e := range source.Spec.Exemptions {
			if p.alone[e.Name], err = compileWith(source, []v1alpha1.Exemption{e}); err != nil {
				return nil, err
			}
			p.why[e.Name] = exemption{shown(e.Name), isolation.Sanitize(e.Reason, messageLimit)}
		}
		all[i] = p
	}
	return all, nil
}

// compileWith compiles the policy with other exemptions.
func compileWith(source *v1alpha1.IsolationPolicy, exemptions []v1alpha1.Exemption) (*isolation.Policy, error) {
	other := *source
	other.Spec.Exemptions = exemptions
	return isolation.Compile(&other)
}

// judge is what the policy says of the subject, wherever its namespace; false if it does not speak
// of it in any. Lines are asked of the object.
func (p *policy) judge(o *manifest.Object, s isolation.Subject) (judgement, bool) {
	s.NamespaceUnknown = true
	said := p.Judge(&s)
	if !said.Matched {
		return judgement{}, false
	}
	j := judgement{policy: p, verdict: allowed}
	if len(said.Violations) > 0 {
		j.verdict = verdictOf(p.Action)
		j.violations = make([]violation, len(said.Violations))
	} else if len(said.Exempt) > 0 {
		j.verdict = exempt
	}
	for i := range said.Violations {
		j.violations[i] = p.violation(&said.Violations[i])
		o.Locate(said.Violations[i].Field, &j.violations[i].Line)
	}
	if len(said.Exempt) > 0 {
		j.exempted = p.exempted(&s, &said)
		for i := range j.exempted {
			o.Locate(j.exempted[i].Field, &j.exempted[i].Line)
		}
	}
	return j, true
}

func (p *policy) violation(v *isolation.Violation) violation {
	return violation{
		Policy: shown(v.Policy), Verdict: verdictOf(p.Action), Axis: v.Axis, Portal: v.Portal,
		Field: v.Field, Value: v.Value, Message: isolation.Sanitize(v.Message, messageLimit),
	}
}

// exempted are the violations that there would be without exemptions, and the exemptions that open
// each: those that do so alone, or all that were needed if it takes several.
func (p *policy) exempted(s *isolation.Subject, said *isolation.Judgement) []exempted {
	without := p.bare.Judge(s)
	opens := make(map[string][]isolation.Violation, len(said.Exempt))
	for _, name := range said.Exempt {
		if one := p.alone[name]; one != nil {
			opens[name] = one.Judge(s).Violations
		}
	}
	var all []exempted
	for i := range without.Violations {
		v := &without.Violations[i]
		if in(v, said.Violations) {
			continue
		}
		e := exempted{violation: p.violation(v)}
		e.Verdict = exempt
		for _, name := range said.Exempt {
			if !in(v, opens[name]) {
				e.Exemptions = append(e.Exemptions, p.why[name])
			}
		}
		if len(e.Exemptions) == 0 {
			for _, name := range said.Exempt {
				e.Exemptions = append(e.Exemptions, p.why[name])
			}
		}
		all = append(all, e)
	}
	return all
}

// in tells whether a list holds the violation.
func in(v *isolation.Violation, list []isolation.Violation) bool {
	return len(isolation.Without([]isolation.Violation{*v}, list)) == 0
}
