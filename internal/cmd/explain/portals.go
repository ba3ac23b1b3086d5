// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Portals side by side: what policies say of them, what the spec asks for, what was seen.

// portal is one of those that policies can judge.
type portal struct {
	name string
	// seen is set if an agent can see it open: what no process shows can be judged by the spec alone.
	seen bool
	// demand is what a policy says of it; empty if it does not judge it.
	demand func(*v1alpha1.Portals) string
}

// portals are all that policies can judge, in the order in which violations are told.
var portals = []portal{
	{"privileged", false, func(p *v1alpha1.Portals) string { return string(p.Privileged) }},
	{"capabilities", true, capabilitiesDemand},
	{"procMount", true, func(p *v1alpha1.Portals) string { return string(p.ProcMount) }},
	{"hostPaths", true, hostPathsDemand},
	{"mountPropagation", true, func(p *v1alpha1.Portals) string { return string(p.MountPropagation) }},
	{"devices", true, func(p *v1alpha1.Portals) string { return string(p.Devices) }},
	{"runtimeSockets", true, func(p *v1alpha1.Portals) string { return string(p.RuntimeSockets) }},
	{"hostPorts", false, hostPortsDemand},
	{"hostProbes", false, func(p *v1alpha1.Portals) string { return string(p.HostProbes) }},
	{"windowsHostProcess", false, func(p *v1alpha1.Portals) string { return string(p.WindowsHostProcess) }},
}

func capabilitiesDemand(p *v1alpha1.Portals) string {
	if p.Capabilities == nil {
		return ""
	}
	var names []string
	for _, name := range p.Capabilities.Forbid {
		names = append(names, string(name))
	}
	return "Forbid " + strings.Join(names, ", ")
}

func hostPathsDemand(p *v1alpha1.Portals) string {
	if p.HostPaths == nil {
		return ""
	}
	var allowed []string
	for _, path := range p.HostPaths.Allow {
		text := path.PathPrefix
		if path.ReadOnly {
			text += " (read-only)"
		}
		allowed = append(allowed, text)
	}
	return allowing(allowed)
}

func hostPortsDemand(p *v1alpha1.Portals) string {
	if p.HostPorts == nil {
		return ""
	}
	var allowed []string
	for _, r := range p.HostPorts.Allow {
		text := fmt.Sprint(r.From)
		if r.To != r.From {
			text += fmt.Sprintf("-%d", r.To)
		}
		allowed = append(allowed, text)
	}
	return allowing(allowed)
}

// allowing is what a list that is to be allowed demands.
func allowing(list []string) string {
	if len(list) == 0 {
		return string(v1alpha1.PortalForbid)
	}
	return "Forbid but " + strings.Join(list, ", ")
}

// everyPortal is a policy that allows none: what violates it is what a spec asks for.
var everyPortal = func() *isolation.Policy {
	p, err := isolation.Compile(&v1alpha1.IsolationPolicy{Spec: v1alpha1.IsolationPolicySpec{
		Portals: &v1alpha1.Portals{
			Privileged: v1alpha1.PortalForbid, ProcMount: v1alpha1.PortalForbid, MountPropagation: v1alpha1.PortalForbid,
			Devices: v1alpha1.PortalForbid, RuntimeSockets: v1alpha1.PortalForbid, WindowsHostProcess: v1alpha1.PortalForbid,
			HostProbes: v1alpha1.PortalForbid, HostPaths: &v1alpha1.HostPathsPortal{}, HostPorts: &v1alpha1.HostPortsPortal{},
			Capabilities: &v1alpha1.CapabilitiesPortal{Forbid: []v1alpha1.Capability{"ALL"}},
		},
		Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
	}})
	if err != nil {
		panic(err) // it is written right above
	}
	return p
}()

// portalRow is one portal, side by side.
type portalRow struct {
	Portal   string         `json:"portal"`
	Required []portalDemand `json:"required"`
	// Claimed is what the spec asks for; empty if nothing.
	Claimed  []portalClaim `json:"claimed"`
	Observed string        `json:"observed"`
}

type portalDemand struct {
	Policy string `json:"policy"`
	Demand string `json:"demand"`
}

type portalClaim struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// What was seen of a portal.
const (
	portalAsClaimed = "AsClaimed" // nothing is open but what the spec asks for
	portalOpen      = "Open"      // something is that the spec does not ask for
	portalNotSeen   = "NotSeen"   // nobody has looked, or nobody could
	portalNoLook    = "NotShown"  // no process shows it
)

// portals are the rows of all portals that policies can judge.
func (e *explanation) portals() []portalRow {
	asked := everyPortal.Judge(e.subject)
	rows := make([]portalRow, 0, len(portals))
	for i := range portals {
		p := &portals[i]
		row := portalRow{Portal: p.name, Required: []portalDemand{}, Claimed: []portalClaim{}, Observed: e.portalSeen(p)}
		for j := range e.verdicts {
			v := &e.verdicts[j]
			if v.portals == nil {
				continue
			}
			if demand := p.demand(v.portals); demand != "" {
				row.Required = append(row.Required, portalDemand{v.policy.Name, isolation.Sanitize(demand, textLimit)})
			}
		}
		for j := range asked.Violations {
			v := &asked.Violations[j]
			// One that names no portal is that the spec is too large to tell.
			if cmp.Or(v.Portal, p.name) == p.name {
				row.Claimed = append(row.Claimed, portalClaim{isolation.Sanitize(v.Field, nameLimit), v.Value})
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (e *explanation) portalSeen(p *portal) string {
	found := func(kind v1alpha1.FindingKind, name string) bool {
		return slices.ContainsFunc(e.sight.Findings, func(f v1alpha1.NodeFinding) bool { return f.Kind == kind && f.Portal == name })
	}
	switch {
	case e.sight.Unseen == "" && found(v1alpha1.Portal, p.name):
		return portalOpen
	case !p.seen:
		return portalNoLook
	case e.sight.Unseen != "" || e.sight.Doubt != "" || !e.sight.Inspected || found(v1alpha1.Unverified, isolation.PortalMounts):
		return portalNotSeen
	}
	return portalAsClaimed
}
