// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// LookerOptions say how to look. The zero value is good for a host without Kubernetes.
type LookerOptions struct {
	// SelfNamespace and SelfName name the pod that looks; empty outside of a pod. It is needed
	// where the reader is in a cgroup namespace of its own, which hides the names of its own pod
	// and container.
	SelfNamespace, SelfName string
	// Threads is how many threads one look reads beside the processes; 0 means
	// [DefaultThreads], a negative number none.
	Threads int
	// Inspect is how far apart two close looks at a container must be that see the same, its mounts,
	// privileges and what it has open, so that it is believed; 0 means that there are none. They take a
	// tree that shows the reader.
	Inspect time.Duration
}

// DefaultThreads bounds what a look spends on threads to some 30 ms.
const DefaultThreads = 2000

// Stats tell what the last look read.
type Stats struct {
	// Processes is how many the tree listed, Contained how many of them are in containers.
	Processes, Contained int
	// Containers is how many were seen or missed, sandboxes included.
	Containers int
	// Unreadable is how many processes in containers did not show all of their namespaces.
	Unreadable int
	// Unshared is how many processes in no container were in a namespace of each axis that is neither the node's nor a
	// container's, when all processes were last read.
	Unshared [isolation.NumAxes]int
}

// Looker takes looks at the containers of a host through its /proc. It keeps from look to look
// whose pid namespaces were. It is not for concurrent use.
type Looker struct {
	fs   *procns.FS
	dir  Directory
	opts LookerOptions
	self int // the reader's own pid

	homes   homes
	sweep   sweep
	nobodys nobodys
	// left are processes that left a container, leftPIDs their numbers, and leftSince is since when each container (by ID) has such;
	// brought are those that were brought into one.
	left      map[processKey]Attribution
	brought   map[processKey]bool
	leftPIDs  map[int]bool
	leftSince map[string]time.Time
	// sharing are the numbers of processes in containers and in the node's pid namespace; swept is when they were last searched for.
	sharing   map[int]bool
	swept     time.Time
	inspector openings.Inspector

	// Of the look that is being taken, and then of the last one.
	node       procns.NodeNamespaces
	nodeSets   [isolation.NumAxes]isolation.NodeNamespaces
	attributor *attributor
	records    []record
	// visitors are threads of processes outside of containers that are elsewhere than their process.
	visitors []isolation.Process
	disputed []dispute
	stats    Stats
	problems []Problem
	// directories are the UIDs by which cgroups name pods, by container.
	directories map[string]string
	// crowds count the records of each container (by ID); untold are containers (by ID) of which processes were missed.
	crowds map[string]int
	untold map[string]bool
	// refused: a link of the process at hand was refused; refusedAll: of any process;
	// refusedInside: of one in a container. readable: another process's link was read.
	refused, refusedAll, refusedInside, readable bool
	// exited: the process at hand has exited while its links were read.
	exited bool
}

// NewLooker is a looker at the tree fs, which stays the caller's to close. Without a directory
// there are no names and no claims, nothing is missing and nothing is a stray.
func NewLooker(fs *procns.FS, dir Directory, opts LookerOptions) *Looker {
	if opts.Threads == 0 {
		opts.Threads = DefaultThreads
	}
	return &Looker{fs: fs, dir: dir, opts: opts, self: os.Getpid(), inspector: openings.Inspector{Confirm: opts.Inspect}}
}

// Look takes one look. With outside it also reads the processes that are in no container, which
// costs several times as much: [isolation.ErrUnexplained] asks for it. The error is that of listing
// the processes; a process that cannot be read is part of the look.
//
// now is the time of the look, and must not be before that of the last.
func (l *Looker) Look(now time.Time, outside bool) (*isolation.Look, error) {
	entries, err := l.fs.Entries()
	if err != nil {
		return nil, fmt.Errorf("look at the processes: %w", err)
	}
	x := indexOf(l.dir)
	l.begin(x)
	l.nobodys.begin(now)
	pids := make([]int, len(entries))
	for i, e := range entries {
		pids[i] = e.PID
		settled := l.nobodys.settled(e) && !outside && !l.leftPIDs[e.PID]
		switch {
		case settled && l.home(e.PID):
			l.nobodys.keep(e, false)
		case l.gather(e.PID, outside):
			l.nobodys.keep(e, true)
		}
	}
	l.thinAll()
	node := &l.nodeSets[isolation.PID]
	l.homes = homesOf(l.records, node, l.homes)
	a := assign(l.records, &descent{l.homes, l.left, l.brought, runs(pids)}, node)
	l.remember(a)
	look := &isolation.Look{At: now, Node: l.nodeSets, OutsideRead: outside}
	if outside {
		look.Outside = slices.Concat(a.outside, l.visitors)
	}
	look.Containers = identify(a.groups, x)
	for i := range look.Containers {
		if c := &look.Containers[i]; l.untold[c.ID] {
			c.Missed = tooMany
		}
	}
	look.Containers = append(look.Containers, absent(look.Containers, x)...)
	sortContainers(look.Containers)
	l.disputed = a.disputed
	l.directories = make(map[string]string, len(a.groups))
	for _, g := range a.groups {
		l.directories[g.at.Container] = g.at.PodUID
	}
	unshared := l.stats.Unshared
	if outside {
		unshared = unsharedOf(look)
	}
	l.stats = statsOf(len(pids), look)
	l.stats.Unshared = unshared
	l.problems = l.selfTest()
	return look, nil
}

// remember keeps of a look what the next needs to find those that left.
func (l *Looker) remember(a *assignment) {
	l.brought = a.brought
	l.left, l.leftPIDs, l.sharing = a.left, make(map[int]bool, len(a.left)), make(map[int]bool)
	for key := range a.left {
		l.leftPIDs[key.pid] = true
	}
	for i := range l.records {
		if r := &l.records[i]; r.by.Container != "" && !l.elsewhere(&r.Process) {
			l.sharing[r.PID] = true
		}
	}
}

// begin prepares a look.
func (l *Looker) begin(x *index) {
	l.node = l.fs.NodeNamespaces()
	l.nodeSets = nodeSets(&l.node)
	l.attributor = newAttributor(l.cgroupsOf(1), x.self(l.opts.SelfNamespace, l.opts.SelfName))
	if cap(l.records) > 4*len(l.records)+1024 {
		l.records = nil // what a crowd took that is no more is given back
	}
	l.records, l.visitors = l.records[:0], nil
	if l.sharing == nil {
		l.sharing = make(map[int]bool)
	}
	l.crowds, l.untold = make(map[string]int), make(map[string]bool)
	l.refusedAll, l.refusedInside, l.readable = false, false, false
	l.sweep.begin(max(0, l.opts.Threads))
}

// Observe takes a look and lets the tracker take it into account; where that needs the processes
// outside of containers, it looks again with them. What the cgroups of processes contradict is
// added to the findings, and what a close look found open.
func (l *Looker) Observe(tracker *isolation.Tracker, now time.Time) (isolation.Observation, error) {
	sweep := now.Sub(l.swept) >= sweepEvery
	if sweep {
		l.swept = now
	}
	look, err := l.Look(now, sweep)
	if err != nil {
		return isolation.Observation{}, err
	}
	observation, err := tracker.Observe(look)
	if errors.Is(err, isolation.ErrUnexplained) {
		if look, err = l.Look(now, true); err != nil {
			return isolation.Observation{}, err
		}
		observation, err = tracker.Observe(look)
	}
	if err != nil {
		return isolation.Observation{}, fmt.Errorf("observe what was seen: %w", err)
	}
	left, pending := l.leaverFindings(look)
	observation.Findings, observation.Pending = append(observation.Findings, left...), observation.Pending || pending
	observation.Findings = append(observation.Findings, disputeFindings(l.disputed, look)...)
	if l.opts.Inspect > 0 && l.fs.ShowsReader() {
		if err := l.inspect(look); err != nil {
			l.problems = append(l.problems, Problem{ReasonMountsUnread, isolation.Sanitize(err.Error(), 512)})
		}
		observation.Findings = append(observation.Findings, l.inspector.Findings()...)
		l.tellInspected(&observation)
	}
	isolation.SortFindings(observation.Findings)
	return observation, nil
}

// tellInspected marks the pods all of whose containers were looked at closely.
func (l *Looker) tellInspected(o *isolation.Observation) {
	missed := make(map[string]bool)
	for i := range o.Containers {
		if c := &o.Containers[i]; !c.Sandbox && (len(c.Processes) > 0 || c.Expected) && !l.inspector.Settled(c.ID) {
			missed[c.Pod.UID] = true
		}
	}
	for i := range o.Pods {
		o.Pods[i].Inspected = !missed[o.Pods[i].UID]
	}
}

// Stats tell what the last look read.
func (l *Looker) Stats() Stats { return l.stats }

// Node are the node's own namespaces as the last look established them.
func (l *Looker) Node() procns.NodeNamespaces { return l.node }

// cgroupsOf reads a process's cgroups; none if they cannot be read.
func (l *Looker) cgroupsOf(pid int) procns.Cgroups {
	p, err := l.fs.Process(pid)
	if err != nil {
		return nil
	}
	defer func() { _ = p.Close() }() // nothing was written
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil
	}
	return cgroups
}

// nodeSets are the node's namespaces as the core takes them. The kernel's initial ones are among
// them: on a node that is itself nested, a process there has left the node as well.
func nodeSets(node *procns.NodeNamespaces) [isolation.NumAxes]isolation.NodeNamespaces {
	var sets [isolation.NumAxes]isolation.NodeNamespaces
	for _, a := range isolation.Axes {
		set := &node.Sets[a] // kinds and axes have one order
		for _, id := range set.IDs {
			sets[a].IDs = append(sets[a].IDs, isolation.NamespaceID{Dev: id.Dev, Inode: id.Ino})
		}
		if initial := node.Initial[a]; initial != (procns.ID{}) && !set.Has(initial) {
			sets[a].IDs = append(sets[a].IDs, isolation.NamespaceID{Dev: initial.Dev, Inode: initial.Ino})
		}
		switch {
		case set.Err == nil:
		case errors.Is(set.Err, procns.ErrUnsupported):
			sets[a].IDs = []isolation.NamespaceID{sharedByAll}
		default:
			sets[a].Reason = set.Err.Error()
		}
	}
	return sets
}

// statsOf counts.
func statsOf(processes int, look *isolation.Look) Stats {
	s := Stats{Processes: processes, Containers: len(look.Containers)}
	for i := range look.Containers {
		s.Contained += look.Containers[i].Total()
		for j := range look.Containers[i].Processes {
			for _, ns := range look.Containers[i].Processes[j].Namespaces {
				if ns.Reason != "" {
					s.Unreadable++
					break
				}
			}
		}
	}
	return s
}

// disputeFindings tell of processes that v1 hierarchies attribute to different pods: one for each
// container.
func disputeFindings(disputed []dispute, look *isolation.Look) []isolation.Finding {
	var findings []isolation.Finding
	told := make(map[string]int)
	for i := range disputed {
		d := &disputed[i]
		if at, ok := told[d.at.Container]; ok {
			findings[at].Evidence.Processes += 1 + d.process.Alike
			continue
		}
		for j := range look.Containers {
			c := &look.Containers[j]
			if c.ID != d.at.Container {
				continue
			}
			told[c.ID] = len(findings)
			findings = append(findings, isolation.Finding{
				Kind: v1alpha1.Unverified, Pod: c.Pod, Container: c.Name, ContainerID: c.ID,
				Message: "cgroup hierarchies name different pods for one process: " + isolation.Sanitize(d.between, 512),
				Evidence: &isolation.Evidence{
					PID: d.process.PID, TID: d.process.TID, StartTime: d.process.StartTime,
					Command: isolation.Sanitize(d.process.Command, 64), Processes: 1 + d.process.Alike,
				},
			})
			break
		}
	}
	return findings
}
