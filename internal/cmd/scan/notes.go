// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// reader is who scans, and what.
type reader struct {
	proc string
	uid  int // -1 on a system that has none
}

// notesOn says what a reader of the result has to know: what could not be seen, why, and what to do.
func notesOn(s *seen, r *result, by reader) []string {
	var notes []string
	axes, containers, reason := r.unread()
	if axes > 0 {
		notes = append(notes, fmt.Sprintf("%s of %s could not be read: %s",
			plural(axes, "axis", "axes"), plural(containers, "container", "containers"), reason))
	}
	if s.hidden {
		notes = append(notes, fmt.Sprintf("%s hides the processes of other users (the mount option hidepid), and the containers that they are in", by.shownProc()))
	}
	for _, p := range s.problems {
		notes = append(notes, problemFor(&p))
	}
	switch {
	case by.uid > 0 && (axes > 0 || s.hidden || len(s.problems) > 0):
		notes = append(notes, fmt.Sprintf("user %d sees the namespaces of their own processes only; to see all, run the scan as root: sudo bulkhead scan", by.uid))
	case axes > 0 && reason == startedMeanwhile:
		notes = append(notes, "what has just started is seen by another scan")
	case axes > 0 && len(s.problems) == 0:
		notes = append(notes, "run the scan as root, with the capability SYS_PTRACE, on the machine itself")
	}
	if len(s.observation.Containers) == 0 {
		notes = append(notes, fmt.Sprintf("no containers found: none of the %s in %s is in a container's cgroup",
			plural(s.processes, "process", "processes"), by.shownProc()))
	}
	if r.services > 0 {
		notes = append(notes, fmt.Sprintf("%s outside of containers have only mounts or the like of their own, as services do: --services shows them",
			plural(r.services, "group of processes", "groups of processes")))
	}
	return notes
}

func (by reader) shownProc() string { return isolation.Sanitize(by.proc, nameLimit) }

// problemFor tells a problem to a person at a shell: an agent's remedies are fields of its pod.
func problemFor(p *agent.Problem) string {
	switch p.Reason {
	case agent.ReasonNotNodePIDNamespace:
		return "this /proc shows the processes of one container only: run the scan on the machine itself, or in a container that has the machine's (docker run --pid host)"
	case agent.ReasonNoCapability, agent.ReasonReadRefused:
		return "the namespaces of other users' processes cannot be read: that takes root with the capability SYS_PTRACE, and that no security module (AppArmor, SELinux) refuses it"
	case agent.ReasonUserNamespace:
		return "the namespaces of other processes cannot be read from inside a user namespace: run the scan as root of the machine itself"
	case agent.ReasonSecurityModule:
		return "the namespaces of other processes cannot be read, though the scan has the capability SYS_PTRACE: a security module refuses it " +
			"(AppArmor, SELinux, or a sandbox made with Landlock or BPF): run the scan from a shell that none of them confines"
	}
	return p.Message
}

// unread counts the axes that are Unknown, and the containers that have them, with the first reason.
func (r *result) unread() (axes, containers int, reason string) {
	for i := range r.Containers {
		unknown := 0
		for _, a := range isolation.Axes {
			if at := r.Containers[i].Axes[a.String()]; at.Level == isolation.Unknown.String() {
				unknown++
				if reason == "" || reason == startedMeanwhile { // what needs no remedy hides nothing that does
					reason = at.Reason
				}
			}
		}
		if unknown > 0 {
			axes, containers = axes+unknown, containers+1
		}
	}
	return axes, containers, reason
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
