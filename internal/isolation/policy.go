// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Policy is a compiled [v1alpha1.IsolationPolicy]: valid, and ready to judge. It is immutable.
type Policy struct {
	Name       string
	UID        types.UID
	Generation int64
	Action     v1alpha1.AdmissionAction
	// Engine carries admission out; never empty.
	Engine v1alpha1.AdmissionEngine
	// NamespaceSelector and PodSelector as compiled; nil matches everything.
	NamespaceSelector, PodSelector labels.Selector
	// Selection stands for the pair of selectors: 12 hexadecimal digits, the same for policies that
	// select the same pods by the same selectors, in any order.
	Selection string

	demand     demand
	exemptions []exemption
}

// demand is what is asked of a scope.
type demand struct {
	required Vector
	portals  portals
}

// exemption is a compiled [v1alpha1.Exemption].
type exemption struct {
	*v1alpha1.Exemption
	enough Vector
}

// Compile makes a policy ready to judge. The error names every field that is wrong: the schema
// should have refused them, but a file that is judged offline has not met it.
func Compile(p *v1alpha1.IsolationPolicy) (*Policy, error) {
	c := &Policy{Name: p.Name, UID: p.UID, Generation: p.Generation, Action: p.Spec.Admission.Action}
	var errs []error
	note := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("spec.%s: %w", field, err))
		}
	}
	if m := p.Spec.Match; m != nil {
		var err error
		c.NamespaceSelector, err = selectorOf(m.NamespaceSelector)
		note("match.namespaceSelector", err)
		c.PodSelector, err = selectorOf(m.PodSelector)
		note("match.podSelector", err)
	}
	c.Selection = selectionOf(c.NamespaceSelector, c.PodSelector)
	switch c.Action {
	case v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit:
	default:
		note("admission.action", fmt.Errorf("%s is none of Deny, Warn, Audit", quote(string(c.Action))))
	}
	switch c.Engine = cmp.Or(p.Spec.Admission.Engine, v1alpha1.EngineWebhook); c.Engine {
	case v1alpha1.EngineWebhook, v1alpha1.EngineValidatingAdmissionPolicy:
	default:
		note("admission.engine", fmt.Errorf("%s is none of Webhook, ValidatingAdmissionPolicy", quote(string(c.Engine))))
	}
	required, err := requirementOf(p.Spec.Isolation)
	note("isolation", err)
	portals, err := portalsOf(p.Spec.Portals)
	note("portals", err)
	c.demand = demand{required: required, portals: portals}
	for i := range p.Spec.Exemptions {
		e := &p.Spec.Exemptions[i]
		enough, err := requirementOf(e.Isolation)
		note(fmt.Sprintf("exemptions[%d].isolation", i), err)
		c.exemptions = append(c.exemptions, exemption{e, enough})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("IsolationPolicy %s: %w", quote(p.Name), err)
	}
	return c, nil
}

func selectorOf(s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return nil, nil
	}
	return metav1.LabelSelectorAsSelector(s)
}

func selectionOf(namespaces, pods labels.Selector) string {
	text := func(s labels.Selector) string {
		if s == nil {
			return ""
		}
		return s.String()
	}
	sum := sha256.Sum256([]byte(text(namespaces) + "\n" + text(pods)))
	return hex.EncodeToString(sum[:6])
}

// Required is what the policy demands of the axes, without regard to exemptions.
func (p *Policy) Required() Vector { return p.demand.required }

// Matches tells whether the policy speaks of the subject.
func (p *Policy) Matches(s *Subject) bool {
	if s.Selection != "" && s.Selection == p.Selection {
		return true
	}
	return p.MatchesNamespace(s.NamespaceLabels, !s.NamespaceUnknown) && (p.PodSelector == nil || p.PodSelector.Matches(s.Labels))
}

// MatchesNamespace tells whether the policy may speak of pods in a namespace of these labels, if they are
// known.
func (p *Policy) MatchesNamespace(set labels.Set, known bool) bool {
	return p.NamespaceSelector == nil || !known || p.NamespaceSelector.Matches(set)
}

// covers tells whether the exemption is for the scope; expired is set if only its end is in the way.
func (e *exemption) covers(s scope) (covered, expired bool) {
	if !slices.Contains(e.Namespaces, s.Namespace) ||
		len(e.ServiceAccounts) > 0 && !slices.Contains(e.ServiceAccounts, s.serviceAccount()) ||
		s.ephemeral && !e.EphemeralContainers {
		return false, false
	}
	// When the pod was created may not be known: then an exemption that ends does not cover it.
	expired = e.Expires != nil && (s.Created.IsZero() || !s.Created.Before(e.Expires.Time))
	return !expired, expired
}

// covering are the exemptions for the scope, and those that were until they expired.
func (p *Policy) covering(s scope) (covering, expired []*exemption) {
	for i := range p.exemptions {
		e := &p.exemptions[i]
		switch covered, over := e.covers(s); {
		case covered:
			covering = append(covering, e)
		case over:
			expired = append(expired, e)
		}
	}
	return covering, expired
}

// relaxedBy is what remains demanded of whom all these exemptions cover.
func (d demand) relaxedBy(all []*exemption) demand {
	for _, e := range all {
		for a := range d.required {
			if e.enough[a] != None && e.enough[a] < d.required[a] {
				d.required[a] = e.enough[a]
			}
		}
		d.portals = d.portals.openedBy(e.Portals)
	}
	return d
}

// needed are those exemptions, in their order, without any one of which more would be wrong. It can
// take several for one thing, such as a container that adds all capabilities; of two that open the
// same the first is needed.
func (d demand) needed(covering []*exemption, wrong func(*demand) int) []*exemption {
	count := func(all []*exemption) int {
		relaxed := d.relaxedBy(all)
		return wrong(&relaxed)
	}
	needed := covering
	least := count(covering)
	for i := len(covering) - 1; i >= 0; i-- {
		if without := slices.Delete(slices.Clone(needed), i, i+1); count(without) == least {
			needed = without
		}
	}
	return needed
}

// describe says why an exemption does not cover a pod that was created then.
func (e *exemption) describe(created time.Time) string {
	end := e.Expires.UTC().Format(time.RFC3339)
	if created.IsZero() {
		return fmt.Sprintf("exemption %s ends at %s, and when the pod was created is not known", e.Name, end)
	}
	return fmt.Sprintf("exemption %s expired at %s", e.Name, end)
}
