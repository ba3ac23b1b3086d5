// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// portals are what a policy says of the openings beside the namespaces, with what its exemptions
// add. nil and false: not judged.
type portals struct {
	forbidden    [numSwitches]bool
	hostPaths    *pathAllowance
	hostPorts    *portAllowance
	capabilities *capabilitySet
}

// A portalSwitch is a portal that is forbidden or not judged.
type portalSwitch uint8

const (
	privileged portalSwitch = iota
	procMount
	mountPropagation
	devices
	runtimeSockets
	windowsHostProcess
	hostProbes
	numSwitches
)

var switchNames = [numSwitches]string{
	"privileged", "procMount", "mountPropagation", "devices", "runtimeSockets", "windowsHostProcess", "hostProbes",
}

// judged tells whether the policy speaks of the switch.
func (s portalSwitch) judged(p *portals) bool { return p.forbidden[s] }

func forbids(p *v1alpha1.Portals) [numSwitches]v1alpha1.Forbid {
	return [numSwitches]v1alpha1.Forbid{
		p.Privileged, p.ProcMount, p.MountPropagation, p.Devices, p.RuntimeSockets, p.WindowsHostProcess, p.HostProbes,
	}
}

func allows(e *v1alpha1.ExemptPortals) [numSwitches]v1alpha1.Allow {
	return [numSwitches]v1alpha1.Allow{
		e.Privileged, e.ProcMount, e.MountPropagation, e.Devices, e.RuntimeSockets, e.WindowsHostProcess, e.HostProbes,
	}
}

// A portalCheck judges one portal. Each stands in a file portal_*.go of its own.
type portalCheck struct {
	name string
	// judged tells whether the policy speaks of the portal.
	judged func(*portals) bool
	// causes appends what the scope asks for and the policy does not allow.
	causes func(scope, *portals, []cause) []cause
}

// portalChecks are all portals, in the order in which they are told.
var portalChecks = [...]portalCheck{
	privilegedCheck, capabilitiesCheck, procMountCheck, hostPathsCheck, mountPropagationCheck,
	devicesCheck, runtimeSocketsCheck, hostPortsCheck, hostProbesCheck, windowsHostProcessCheck,
}

// portalsOf compiles what a policy says. The error names what this version does not know: the
// schema refuses it, but the schema in the cluster can be of a later version.
func portalsOf(p *v1alpha1.Portals) (portals, error) {
	var out portals
	if p == nil {
		return out, nil
	}
	var errs []error
	for i, value := range forbids(p) {
		switch value {
		case "":
		case v1alpha1.PortalForbid:
			out.forbidden[i] = true
		default:
			errs = append(errs, fmt.Errorf("%s: %s is not %s", switchNames[i], quote(string(value)), v1alpha1.PortalForbid))
		}
	}
	out.hostPaths = pathAllowanceOf(p.HostPaths)
	out.hostPorts = portAllowanceOf(p.HostPorts)
	out.capabilities = capabilitySetOf(p.Capabilities)
	if out.capabilities != nil && len(out.capabilities.forbidden) == 0 {
		errs = append(errs, errors.New("capabilities.forbid: it is empty and forbids nothing: name capabilities, or ALL"))
	}
	return out, errors.Join(errs...)
}

// judges tells whether the policy speaks of the portal of that name.
func (p *portals) judges(name string) bool {
	for i := range portalChecks {
		if portalChecks[i].name == name {
			return portalChecks[i].judged(p)
		}
	}
	return false
}

// openedBy is p with what an exemption opens in addition.
func (p portals) openedBy(e *v1alpha1.ExemptPortals) portals {
	if e == nil {
		return p
	}
	for i, value := range allows(e) {
		if value == v1alpha1.PortalAllow {
			p.forbidden[i] = false
		}
	}
	p.hostPaths = p.hostPaths.and(pathAllowanceOf(e.HostPaths))
	p.hostPorts = p.hostPorts.and(portAllowanceOf(e.HostPorts))
	p.capabilities = p.capabilities.without(e.Capabilities)
	return p
}

// listed joins what a message names, at most eight.
func listed[T any](all []T, name func(T) string) string {
	if len(all) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, one := range all {
		if i == 8 {
			b.WriteString(", and " + strconv.Itoa(len(all)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name(one))
	}
	return b.String()
}
