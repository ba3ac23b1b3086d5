// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"slices"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/byhand"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// The longest foreign text that is shown.
const (
	nameLimit    = 253
	messageLimit = 2048
)

// result is what a scan tells, as JSON shows it. All text is sanitised.
type result struct {
	Node       node        `json:"node"`
	Containers []container `json:"containers"`
	// Unshared are processes in no container that have namespaces of their own.
	Unshared []unshared `json:"unshared"`

	// judged is set if policies were held against the containers; services is how many groups of
	// processes are left out of Unshared.
	judged   bool
	services int
}

// node is the machine whose /proc was read.
type node struct {
	BootID        string `json:"bootID"`
	KernelVersion string `json:"kernelVersion"`
	// Nested is set if the machine is itself made of namespaces.
	Nested bool                `json:"nested"`
	Axes   map[string]nodeAxis `json:"axes"`
}

// nodeAxis are the machine's own namespaces on one axis, and who testified it or why nobody did.
type nodeAxis struct {
	Inodes  []uint64 `json:"inodes"`
	Witness string   `json:"witness,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

type container struct {
	ID      string `json:"id"`
	Runtime string `json:"runtime"`
	Sandbox bool   `json:"sandbox,omitempty"`
	Pod     *pod   `json:"pod,omitempty"`
	PIDs    []int  `json:"pids"`
	// Command of its first process, and the cgroup where that is.
	Command  string          `json:"command,omitempty"`
	Cgroup   string          `json:"cgroup,omitempty"`
	Axes     map[string]axis `json:"axes"`
	Findings []finding       `json:"findings"`
}

// unshared is a group of processes that share namespaces of their own.
type unshared struct {
	PIDs []int `json:"pids"`
	// Command of the first of them.
	Command string          `json:"command"`
	Axes    map[string]axis `json:"axes"`
}

type pod struct {
	UID string `json:"uid"`
}

// axis is where a container is on one axis.
type axis struct {
	// Level of the container's lowest process; a sandbox as such has none.
	Level string `json:"level,omitempty"`
	// Inode of its first process's namespace; 0 if it could not be read.
	Inode uint64 `json:"inode"`
	// Reason why the level is Unknown.
	Reason string `json:"reason,omitempty"`
}

type finding struct {
	Kind     string    `json:"kind"`
	Axis     string    `json:"axis,omitempty"`
	Portal   string    `json:"portal,omitempty"`
	Policy   string    `json:"policy,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Message  string    `json:"message"`
	Evidence *evidence `json:"evidence,omitempty"`

	observed isolation.Level
}

// evidence is what was seen in /proc, so that it can be checked by hand.
type evidence struct {
	TID       int    `json:"tid,omitempty"`
	StartTime uint64 `json:"startTime"`
	Command   string `json:"command"`
	// Inode of the namespace where the process is, and whose it is: "node", or a pod or container.
	Inode uint64 `json:"inode,omitempty"`
	Owner string `json:"owner,omitempty"`
	// OwnInode is where the container's first process is.
	OwnInode uint64 `json:"ownInode,omitempty"`
	// Processes is how many of the container were found so.
	Processes int `json:"processes"`
	// Check is a command that shows it.
	Check string `json:"check,omitempty"`
}

// shown is what of all that was seen is shown.
type shown struct{ sandboxes, services bool }

// resultOf puts together what was seen and what is required.
func resultOf(s *seen, required []*isolation.Policy, show shown) result {
	r := result{Node: nodeOf(s), Containers: []container{}, Unshared: []unshared{}, judged: len(required) > 0}
	findings := make(map[string][]finding)
	for i := range s.observation.Findings {
		f := &s.observation.Findings[i]
		findings[f.ContainerID] = append(findings[f.ContainerID], findingOf(f))
	}
	for i := range s.observation.Containers {
		o := &s.observation.Containers[i]
		c := containerOf(o, findings[o.ID])
		c.Runtime = string(s.runtimes[o.ID])
		c.Cgroup = isolation.Sanitize(s.cgroups[o.ID], messageLimit)
		// What is wrong with a sandbox is told in any case.
		if o.Sandbox && !show.sandboxes && len(c.Findings) == 0 {
			continue
		}
		if !o.Sandbox {
			for _, p := range required {
				c.breaches(p, &o.Levels)
			}
		}
		slices.SortStableFunc(c.Findings, func(x, y finding) int {
			return cmp.Compare(isolation.Severity(v1alpha1.FindingKind(x.Kind)), isolation.Severity(v1alpha1.FindingKind(y.Kind)))
		})
		r.Containers = append(r.Containers, c)
	}
	for i := range s.alone {
		if g := &s.alone[i]; g.service() && !show.services {
			r.services++
		} else {
			r.Unshared = append(r.Unshared, unsharedOf(g))
		}
	}
	return r
}

func unsharedOf(g *aloneGroup) unshared {
	u := unshared{Command: isolation.Sanitize(g.processes[0].Command, nameLimit), Axes: make(map[string]axis)}
	for i := range g.processes {
		u.PIDs = append(u.PIDs, g.processes[i].PID)
	}
	for _, a := range isolation.Axes {
		at := axis{Level: g.levels[a].String(), Inode: g.inodes[a]}
		if g.levels[a] == isolation.Unknown {
			at.Reason = cmp.Or(isolation.Sanitize(g.processes[0].Namespaces[a].Reason, messageLimit), startedMeanwhile)
		}
		u.Axes[a.String()] = at
	}
	return u
}

func nodeOf(s *seen) node {
	n := node{
		BootID: s.bootID, KernelVersion: isolation.Sanitize(s.kernel, nameLimit),
		Nested: s.node.Nested, Axes: make(map[string]nodeAxis),
	}
	for _, a := range isolation.Axes {
		set := &s.node.Sets[procns.Kind(a)] // axes and kinds have one order
		own := nodeAxis{Inodes: []uint64{}, Witness: string(set.Witness)}
		for _, id := range set.IDs {
			own.Inodes = append(own.Inodes, id.Ino)
		}
		if set.Err != nil {
			own.Reason = isolation.Sanitize(set.Err.Error(), messageLimit)
		}
		n.Axes[a.String()] = own
	}
	return n
}

func containerOf(o *isolation.ObservedContainer, findings []finding) container {
	c := container{
		ID: isolation.Sanitize(o.ID, nameLimit), Sandbox: o.Sandbox, PIDs: []int{},
		Axes: make(map[string]axis), Findings: findings,
	}
	if c.Findings == nil {
		c.Findings = []finding{}
	}
	if o.Pod.UID != "" {
		c.Pod = &pod{UID: isolation.Sanitize(o.Pod.UID, nameLimit)}
	}
	if first := o.First(); first != nil {
		c.Command = isolation.Sanitize(first.Command, nameLimit)
	}
	for i := range o.Processes {
		c.PIDs = append(c.PIDs, o.Processes[i].PID)
	}
	for _, pid := range o.Crowd {
		c.PIDs = append(c.PIDs, int(pid))
	}
	// Threads that are elsewhere than their process count beside it.
	slices.Sort(c.PIDs)
	c.PIDs = slices.Compact(c.PIDs)
	for _, a := range isolation.Axes {
		at := axis{Level: o.Levels[a].String(), Inode: o.Inodes[a]}
		if o.Levels[a] == isolation.Unknown {
			at.Reason = unknownBecause(a, findings)
		}
		c.Axes[a.String()] = at
	}
	return c
}

// unknownBecause finds the reason why an axis is Unknown. There is none in what was seen for the
// first time just now.
func unknownBecause(a isolation.Axis, findings []finding) string {
	for i := range findings {
		f := &findings[i]
		if f.Kind == string(v1alpha1.Unverified) && (f.Axis == a.String() || f.Axis == "" && f.Portal == "" && f.Evidence == nil) {
			return f.Message
		}
	}
	return startedMeanwhile
}

const startedMeanwhile = "it started while the scan ran"

func findingOf(f *isolation.Finding) finding {
	out := finding{
		Kind: string(f.Kind), Axis: f.Axis, Portal: f.Portal, Message: f.Message, observed: f.Observed,
	}
	if e := f.Evidence; e != nil {
		out.PID = e.PID
		out.Evidence = &evidence{
			TID: e.TID, StartTime: e.StartTime, Command: e.Command, Inode: e.Inode,
			Owner: isolation.Sanitize(e.Owner, nameLimit), OwnInode: e.OwnInode, Processes: e.Processes, Check: e.Check,
		}
		if a, ok := isolation.ParseAxis(f.Axis); ok && e.Check == "" {
			out.Evidence.Check = byhand.Namespace(a, int64(e.PID), int64(e.TID))
		}
	}
	return out
}

// breaches adds what the policy requires and the container has not. A breach whose cause was found
// already is that one finding, which says so.
func (c *container) breaches(p *isolation.Policy, levels *isolation.Vector) {
	name := isolation.Sanitize(p.Name, nameLimit)
	for _, b := range p.Breaches(*levels) {
		cause := slices.IndexFunc(c.Findings, func(f finding) bool {
			return f.Axis == string(b.Axis) && f.observed.API() == c.level(f.Axis) &&
				isolation.Severity(v1alpha1.FindingKind(f.Kind)) < isolation.Severity(b.Kind)
		})
		if cause >= 0 {
			c.Findings[cause].Message += "; policy " + name + ": " + b.Message
			continue
		}
		c.Findings = append(c.Findings, finding{
			Kind: string(b.Kind), Axis: string(b.Axis), Policy: name, Message: b.Message,
		})
	}
}

func (c *container) level(axis string) v1alpha1.Level { return v1alpha1.Level(c.Axes[axis].Level) }

// wrong tells whether there is a finding of something that is wrong; not to know is not wrong.
func (r *result) wrong() bool {
	for i := range r.Containers {
		for j := range r.Containers[i].Findings {
			if r.Containers[i].Findings[j].Kind != string(v1alpha1.Unverified) {
				return true
			}
		}
	}
	return false
}
