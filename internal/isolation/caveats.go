// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Caveats are what the author of a valid policy should know at that time, one line each, in the order
// of its fields: what can be dodged, what can be led out of, which exemptions are over, and
// which leave nothing of the policy. Text from the policy is sanitised; the list is not bounded.
func Caveats(p *v1alpha1.IsolationPolicy, now time.Time) []string {
	var out []string
	if m := p.Spec.Match; m != nil && m.PodSelector != nil && len(m.PodSelector.MatchLabels)+len(m.PodSelector.MatchExpressions) > 0 {
		out = append(out, "spec.match.podSelector: whoever creates a pod chooses its labels, and can dodge this policy; the security boundary is the namespace")
	}
	if p.Spec.Portals != nil {
		out = append(out, writablePaths("spec.portals.hostPaths", p.Spec.Portals.HostPaths)...)
	}
	for i := range p.Spec.Exemptions {
		e := &p.Spec.Exemptions[i]
		at := fmt.Sprintf("spec.exemptions[%d]", i)
		if e.Portals != nil {
			out = append(out, writablePaths(at+".portals.hostPaths", e.Portals.HostPaths)...)
		}
		if e.Expires != nil && !now.Before(e.Expires.Time) {
			out = append(out, fmt.Sprintf("%s.expires: exemption %s expired at %s and covers no pod that is created now", at, quote(e.Name), e.Expires.UTC().Format(time.RFC3339)))
		}
		if opensEverything(p, e) {
			out = append(out, fmt.Sprintf("%s: exemption %s opens everything that this policy demands: pods that it covers in %s are not held to it at all", at, quote(e.Name), Sanitize(strings.Join(e.Namespaces, ", "), 256)))
		}
	}
	return out
}

// writablePaths tells of allowances under which a pod may write. Who can write to a directory of
// the node can plant a symbolic link there, which a later mount below it follows.
func writablePaths(field string, portal *v1alpha1.HostPathsPortal) []string {
	if portal == nil {
		return nil
	}
	var out []string
	for i, a := range portal.Allow {
		if !a.ReadOnly {
			out = append(out, fmt.Sprintf("%s.allow[%d]: pods may write below %s, and can plant symbolic links there that lead out of it; set readOnly: true", field, i, quote(a.PathPrefix)))
		}
	}
	return out
}

// opensEverything tells whether a pod that asks for everything gets it by this exemption alone. Of
// a policy that demands one thing only an exemption can open no less, so there it says nothing.
func opensEverything(p *v1alpha1.IsolationPolicy, e *v1alpha1.Exemption) bool {
	pod := greedy(e)
	without := demanded(p, nil, pod)
	if len(without) == 0 || !slices.ContainsFunc(without, func(v Violation) bool { return v.Subject() != without[0].Subject() }) {
		return false
	}
	lasting := *e
	lasting.Expires = nil
	return len(demanded(p, []v1alpha1.Exemption{lasting}, pod)) == 0
}

// demanded is what the policy finds wrong with the pod, whatever it matches, under these exemptions.
func demanded(p *v1alpha1.IsolationPolicy, exemptions []v1alpha1.Exemption, pod *Subject) []Violation {
	bare := *p
	bare.Spec.Match, bare.Spec.Exemptions = nil, exemptions
	compiled, err := Compile(&bare)
	if err != nil {
		return nil
	}
	return compiled.Judge(pod).Violations
}
