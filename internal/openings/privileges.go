// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

/*
Privileges of processes, against the security contexts of the spec.

	status: CapInh, CapPrm, CapEff, CapBnd, CapAmb; NoNewPrivs; Seccomp (proc_pid_status(5))
*/

// privileges are what processes have in excess, told of the first that has the same.
func (c *Container) privileges() []opening {
	var out []opening
	told := map[string]bool{}
	tell := func(portal string, p *Process, excess Capabilities, text, lines string) {
		if told[portal+text] {
			return
		}
		told[portal+text] = true
		out = append(out, opening{
			kind: v1alpha1.Portal, portal: portal, text: text, by: p, capabilities: excess,
			check: "grep " + lines + " " + p.file("status"),
		})
	}
	for i := range c.Processes {
		p := &c.Processes[i]
		if more := p.Capabilities &^ c.Grant.Capabilities; more != 0 && !p.Nested {
			tell("capabilities", p, more, "it has the capabilities "+more.String()+" beyond those that the spec asks for", "Cap")
		}
		if c.Grant.NoNewPrivileges && !p.NoNewPrivileges {
			tell(portalNoNewPrivileges, p, 0, "it may gain privileges, and the spec says allowPrivilegeEscalation: false", "NoNewPrivs")
		}
		if c.Grant.Filtered && !p.Filtered {
			tell(portalSeccomp, p, 0, "no seccomp filter is on it, and the spec asks for one", "Seccomp")
		}
	}
	return out
}
