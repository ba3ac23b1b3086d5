// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Finding is one thing that is wrong on a node, whatever the policies say.
type Finding struct {
	Kind v1alpha1.FindingKind
	Pod  PodRef
	// Container by its name, ContainerID as the runtime knows it; both empty if the whole pod
	// is concerned.
	Container, ContainerID string
	// Axis that is concerned, by its name; empty if none or all are.
	Axis string
	// Portal that is concerned: by its name in policies, seccomp, noNewPrivileges or mounts; empty if none is.
	Portal string
	// Capabilities in excess, of a finding on the portal capabilities, by their names.
	Capabilities []string
	// Claimed and Observed; None where nothing is claimed or observed.
	Claimed, Observed Level
	// Message is one sentence, sanitised.
	Message string
	// Evidence; nil if no process shows it.
	Evidence *Evidence
}

// Evidence names what was seen in /proc, so that a person can check it by hand.
type Evidence struct {
	PID, TID  int
	StartTime uint64
	// Command is sanitised.
	Command string
	// Inode of the namespace in which the process was found, and its owner: "node" or a pod.
	Inode uint64
	Owner string
	// OwnInode is the namespace where the container's first process is.
	OwnInode uint64
	// Processes is how many of the container's processes were found so.
	Processes int
	// Check is a command that shows it on the node, of nothing but numbers and names of files of /proc.
	Check string
}

// Key identifies the finding across looks: what is wrong, with whom, where. Evidence is not part
// of it, for a process that forks keeps the finding the same.
func (f *Finding) Key() string {
	return string(f.Kind) + "|" + f.Pod.UID + "|" + f.ContainerID + "|" + f.Axis + f.Portal
}

// severity orders kinds, worst first.
var severity = map[v1alpha1.FindingKind]int{
	v1alpha1.Escape: 0, v1alpha1.Foreign: 1, v1alpha1.Drift: 2, v1alpha1.Leak: 3,
	v1alpha1.Portal: 4, v1alpha1.Orphan: 5, v1alpha1.Breach: 6, v1alpha1.Violation: 7,
	v1alpha1.Unverified: 8,
}

// Severity is the rank of a kind of finding; 0 is the worst.
func Severity(k v1alpha1.FindingKind) int {
	if s, ok := severity[k]; ok {
		return s
	}
	return len(severity)
}

// SortFindings puts the worst first, in an order that does not change from look to look.
func SortFindings(f []Finding) {
	slices.SortFunc(f, func(x, y Finding) int {
		return cmp.Or(
			cmp.Compare(Severity(x.Kind), Severity(y.Kind)),
			cmp.Compare(x.Pod.Namespace, y.Pod.Namespace),
			cmp.Compare(x.Pod.Name, y.Pod.Name),
			cmp.Compare(x.Key(), y.Key()),
		)
	})
}

// escapeFinding tells of a process that is below where its container started.
func escapeFinding(c *ContainerLook, a Axis, base seen, p *Process, s seen) Finding {
	f := c.finding(v1alpha1.Escape, a, s.level)
	if s.level == Foreign {
		f.Kind = v1alpha1.Foreign
	}
	f.Evidence = evidenceOf(p, s, base)
	f.Message = processName(p) + " is in " + place(a, s) + "; "
	if base.reason == "" {
		f.Message += "its container started at "
	} else {
		f.Message += "where its container started is not known, and the spec promises "
	}
	f.Message += a.String() + " " + base.level.String()
	return f
}

// startFinding tells of a process that has less than the spec promised, as its container had from
// the start.
func startFinding(c *ContainerLook, a Axis, p *Process, s seen) Finding {
	f := c.finding(v1alpha1.Drift, a, s.level)
	if s.level == Foreign {
		f.Kind = v1alpha1.Foreign
	}
	f.Evidence = evidenceOf(p, s, seen{})
	f.Message = processName(p) + " is in " + place(a, s)
	if p == c.First() {
		f.Message = "first " + f.Message
	}
	if c.Claim[a] != None {
		f.Message += "; the spec promises " + a.String() + " " + c.Claim[a].String()
	}
	return f
}

func (c *ContainerLook) finding(kind v1alpha1.FindingKind, a Axis, observed Level) Finding {
	return Finding{
		Kind: kind, Pod: c.Pod, Container: c.Name, ContainerID: c.ID,
		Axis: a.String(), Claimed: c.Claim[a], Observed: observed,
	}
}

// unverifiedFinding tells that a container, or one axis of it, could not be seen.
func unverifiedFinding(c *ContainerLook, observed Level, axis, reason string) Finding {
	return Finding{
		Kind: v1alpha1.Unverified, Pod: c.Pod, Container: c.Name, ContainerID: c.ID,
		Axis: axis, Observed: observed, Message: Sanitize(reason, 512),
	}
}

// orphanFinding tells of a container that the API does not know.
func orphanFinding(c *ContainerLook) Finding {
	f := Finding{Kind: v1alpha1.Orphan, Pod: c.Pod, Container: c.Name, ContainerID: c.ID}
	f.Message = Sanitize(c.Stray, 512)
	if p := c.First(); p != nil {
		f.Evidence = evidenceOf(p, seen{}, seen{})
		f.Evidence.Processes = c.Total()
	}
	return f
}

func evidenceOf(p *Process, s, base seen) *Evidence {
	e := &Evidence{
		PID: p.PID, TID: p.TID, StartTime: p.StartTime, Command: Sanitize(p.Command, 64),
		Inode: s.id.Inode, OwnInode: base.id.Inode, Processes: 1 + p.Alike,
	}
	switch {
	case s.owner.node:
		e.Owner = "node"
	case s.owner.container != nil:
		e.Owner = s.owner.container.Pod.String()
		if s.owner.container.Pod.UID == "" {
			e.Owner = s.owner.container.String()
		}
	}
	return e
}

func processName(p *Process) string {
	return "process " + strconv.Itoa(p.PID) + ` ("` + Sanitize(p.Command, 64) + `")`
}

// place says where a process is.
func place(a Axis, s seen) string {
	switch s.level {
	case Host:
		if a == User {
			return "a user namespace in which root is the node's root"
		}
		if s.owner.outside != "" {
			return "the " + a.String() + " namespace of the node's " + s.owner.outside
		}
		return "the node's " + a.String() + " namespace"
	case Foreign:
		return "the " + a.String() + " namespace of " + s.owner.container.String()
	default:
		return "the " + a.String() + " namespace of " + s.owner.container.String() + ", in its own pod"
	}
}
