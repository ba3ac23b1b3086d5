// SPDX-License-Identifier: Apache-2.0

// Package rights holds what roles grant against what was asked for, as an API server's audit log tells it: what is
// granted and never used is too much, what is asked for and denied is too little.
package rights

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Run is what happened in a run of tests.
type Run struct {
	// Account that asked.
	Account string
	// Program is how the name begins by which the programs under test call themselves; empty for whoever has the account.
	// So what a test asks with a token of the account is left out.
	Program string
	// Grants are what the account may do.
	Grants []Grant
	// Events are the whole audit log.
	Events []auditv1.Event
	// Unused are grants, as [Grant.String] has them, that the run need not use, each with the reason why it is granted all
	// the same.
	Unused map[string]string
}

// Judge tells what is wrong with the grants; nothing is if it is empty.
func (r *Run) Judge() []string {
	return slices.Concat(r.Denied(), r.unused(), r.outdated())
}

// Denied tells which requests were refused for want of a grant. RBAC only ever adds: a request that the grants cover
// and that was forbidden all the same was refused by admission, or before the API server had read the roles.
func (r *Run) Denied() []string {
	counted := make(map[string]int)
	for i := range r.Events {
		e := &r.Events[i]
		if !r.concerns(e) || codeOf(e) != http.StatusForbidden || e.Stage != auditv1.StageResponseComplete {
			continue
		}
		needs := calls(e)
		for _, c := range needs {
			if !slices.ContainsFunc(r.Grants, func(g Grant) bool { return g.covers(c) }) {
				counted[fmt.Sprintf("denied: %s may not %s", r.Account, Grant{Namespace: c.namespace, Rule: c.rule})]++
			}
		}
		if len(needs) == 0 {
			counted[fmt.Sprintf("denied: %s may not %s %s", r.Account, e.Verb, e.RequestURI)]++
		}
	}
	out := make([]string, 0, len(counted))
	for what, times := range counted {
		out = append(out, fmt.Sprintf("%s (%d times): grant it by a marker +kubebuilder:rbac beside the code that needs it", what, times))
	}
	slices.Sort(out)
	return out
}

// unused tells what nobody asked for.
func (r *Run) unused() []string {
	used := make([]bool, len(r.Grants))
	for i := range r.Events {
		e := &r.Events[i]
		if !r.concerns(e) || codeOf(e) == http.StatusForbidden {
			continue
		}
		for _, c := range calls(e) {
			for j := range r.Grants {
				used[j] = used[j] || r.Grants[j].covers(c)
			}
		}
	}
	var out []string
	for i, g := range r.Grants {
		if r.Unused[g.String()] == "" && !used[i] {
			out = append(out, fmt.Sprintf("never used: %s, granted to %s by %s", g, r.Account, g.Role))
		}
	}
	return out
}

// outdated tells which reasons are about nothing that is granted.
func (r *Run) outdated() []string {
	var out []string
	for what := range r.Unused {
		if !slices.ContainsFunc(r.Grants, func(g Grant) bool { return g.String() == what }) {
			out = append(out, fmt.Sprintf("not granted: %s has no need of a reason why it is not used", what))
		}
	}
	slices.Sort(out)
	return out
}

func (r *Run) concerns(e *auditv1.Event) bool {
	return who(e) == r.Account && strings.HasPrefix(e.UserAgent, r.Program)
}
