// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// portals are what a policy says of the openings beside the namespaces, with what its exemptions
// add. nil and false: not judged.
type portals struct {
	forbidPrivileged bool
	hostPaths        *pathAllowance
	hostPorts        *portAllowance
}

// A portalCheck judges one portal. Each stands in a file portal_*.go of its own.
type portalCheck struct {
	name string
	// judged tells whether the policy speaks of the portal.
	judged func(*portals) bool
	// causes appends what the scope asks for and the policy does not allow.
	causes func(scope, *portals, []cause) []cause
}

// portalChecks are all portals that are judged, in the order in which they are told.
var portalChecks = [...]portalCheck{privilegedCheck, hostPathsCheck, hostPortsCheck}

// unjudged is an error if p sets what this version does not judge. The schema refuses it, but the
// schema in the cluster can be of a later version, and what is forbidden must not pass unseen.
func unjudged(p *v1alpha1.Portals) error {
	if p == nil {
		return nil
	}
	if p.Privileged != "" && p.Privileged != v1alpha1.PortalForbid {
		return fmt.Errorf("privileged: %s is not %s", quote(string(p.Privileged)), v1alpha1.PortalForbid)
	}
	var names []string
	for _, portal := range [...]struct {
		name string
		set  bool
	}{
		{"procMount", p.ProcMount != ""},
		{"mountPropagation", p.MountPropagation != ""},
		{"devices", p.Devices != ""},
		{"runtimeSockets", p.RuntimeSockets != ""},
		{"windowsHostProcess", p.WindowsHostProcess != ""},
		{"hostProbes", p.HostProbes != ""},
		{"capabilities", p.Capabilities != nil},
	} {
		if portal.set {
			names = append(names, portal.name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("not judged by this version of Bulkhead: %s; remove them, or use a version that judges them", strings.Join(names, ", "))
}

func portalsOf(p *v1alpha1.Portals) portals {
	if p == nil {
		return portals{}
	}
	return portals{
		forbidPrivileged: p.Privileged == v1alpha1.PortalForbid,
		hostPaths:        pathAllowanceOf(p.HostPaths),
		hostPorts:        portAllowanceOf(p.HostPorts),
	}
}

// openedBy is p with what an exemption opens in addition.
func (p portals) openedBy(e *v1alpha1.ExemptPortals) portals {
	if e == nil {
		return p
	}
	if e.Privileged == v1alpha1.PortalAllow {
		p.forbidPrivileged = false
	}
	p.hostPaths = p.hostPaths.and(pathAllowanceOf(e.HostPaths))
	p.hostPorts = p.hostPorts.and(portAllowanceOf(e.HostPorts))
	return p
}
