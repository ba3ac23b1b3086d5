// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Reasons why the kernel refuses to show other processes' namespaces. It asks for the capability
// SYS_PTRACE in their user namespace (ptrace(2), PTRACE_MODE_READ_FSCREDS), and then every security
// module may still refuse.
const (
	// ReasonNoCapability: the reader lacks SYS_PTRACE.
	ReasonNoCapability = "CapabilityMissing"
	// ReasonUserNamespace: it has SYS_PTRACE in a user namespace of its own only.
	ReasonUserNamespace = "UserNamespace"
	// ReasonSecurityModule: it has SYS_PTRACE, and is refused all the same.
	ReasonSecurityModule = "SecurityModuleRefuses"
	// ReasonReadRefused: it could not read about itself, so that none of these is known.
	ReasonReadRefused = "ReadRefused"
)

// Refused tells whether the problem is that the kernel refuses to show namespaces.
func (p *Problem) Refused() bool {
	switch p.Reason {
	case ReasonNoCapability, ReasonUserNamespace, ReasonSecurityModule, ReasonReadRefused:
		return true
	}
	return false
}

// rights are what the reader has to read about others.
type rights struct {
	known      bool // what follows could be read
	capability bool // SYS_PTRACE
	// elsewhere is set if the reader's user namespace is known not to be the node's.
	elsewhere bool
	// label is what AppArmor or SELinux hold the reader by; empty if there is none.
	label string
}

const sysPtrace = 1 << 19 // CAP_SYS_PTRACE of linux/capability.h

// rights reads the reader's own.
func (l *Looker) rights() rights {
	p, err := l.fs.Process(l.self)
	if err != nil {
		return rights{}
	}
	defer func() { _ = p.Close() }() // nothing was written
	status, err := p.Status()
	if err != nil {
		return rights{}
	}
	r := rights{known: true, capability: status.CapEff&sysPtrace != 0}
	nodes := &l.node.Sets[procns.User]
	if own, err := p.Namespace(procns.User); err == nil && nodes.Err == nil {
		r.elsewhere = !nodes.Has(own)
	}
	r.label, _ = p.SecurityLabel() // without one, it is Landlock or the like
	return r
}

// refusal is the problem that what was attempted was refused to a reader with these rights.
func (r *rights) refusal(what string) Problem {
	switch {
	case !r.known:
		return Problem{ReasonReadRefused, what + ": run as uid 0 with the capability SYS_PTRACE; if it is, a security module " +
			"refuses (AppArmor: set appArmorProfile Unconfined; SELinux: allow ptrace)"}
	case !r.capability:
		return Problem{ReasonNoCapability, what + ": the capability SYS_PTRACE is missing: " +
			"set runAsUser: 0 and capabilities: {add: [SYS_PTRACE]} in the securityContext of the agent's container"}
	case r.elsewhere:
		return Problem{ReasonUserNamespace, what + ": the agent is in a user namespace of its own, and its capability SYS_PTRACE " +
			"holds only there: leave hostUsers: false out of its pod"}
	default:
		return Problem{ReasonSecurityModule, what + ", though the agent has the capability SYS_PTRACE: a security module refuses: " + r.module()}
	}
}

// module says which security module refuses, as far as the reader's label tells, and what to do.
func (r *rights) module() string {
	label := isolation.Sanitize(r.label, 256)
	switch {
	case strings.Count(r.label, ":") >= 3: // USER:ROLE:TYPE:LEVEL
		return "SELinux holds it in the context " + label + ": set seLinuxOptions: {type: spc_t} in the securityContext of its container, " +
			"or allow that type to ptrace"
	case strings.HasSuffix(r.label, ")") && !strings.HasSuffix(r.label, "(complain)") && !strings.HasSuffix(r.label, "(unconfined)"): // PROFILE (MODE)
		return "AppArmor holds it by the profile " + label + ": set appArmorProfile: {type: Unconfined} in the securityContext of its container, " +
			"or allow \"ptrace (read)\" in that profile"
	default:
		return "neither AppArmor nor SELinux confines it, so Landlock or a BPF program does. A Landlock domain holds all that is started in it: " +
			"start the node's container runtime, and so the agent, outside of it"
	}
}
