// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

const (
	// Every so often a container is looked at again.
	Every = time.Minute
	// StartedAfter is how long a container may have been created and not started: on a node that starts
	// hundreds at once that was seen to take 10 s.
	StartedAfter = time.Minute
)

// Inspector turns inspections into findings. It remembers what a second one must confirm: a runtime's
// own process is in the container's cgroup before it has set up what the container will see, and every
// exec starts so. It is not for concurrent use.
type Inspector struct {
	// Confirm is how far apart two looks must be that see the same, so that it is believed. A process of
	// the runtime that brings another one in lives for seconds on a busy node.
	Confirm time.Duration

	containers map[string]*inspected
}

// inspected is what is known of a container.
type inspected struct {
	pod      isolation.PodRef
	at       time.Time
	mounts   []int
	userIDs  []Range
	start    uint64 // of its first process
	since    map[suspicion]time.Time
	findings []isolation.Finding
	pending  bool
	// whole is set if all was read that says something, and settled if what it showed is confirmed.
	whole, settled bool
	// granted is set if it was known what the spec asks for.
	granted bool
}

// suspicion is an opening of one process, or of any of a container.
type suspicion struct {
	kind          v1alpha1.FindingKind
	portal, place string
	pid           int
	start         uint64
}

// Due tells whether a container should be looked at: it is new, what was seen must be confirmed, it is
// known only now what the spec asks for, or the last time was long ago. Containers that came together are not all looked at together for ever: the
// spread is some seconds by their IDs.
func (s *Inspector) Due(id string, granted bool, now time.Time) bool {
	c := s.containers[id]
	switch {
	case c == nil, granted && !c.granted:
		return true
	case c.pending:
		return now.Sub(c.at) >= s.Confirm
	default:
		return now.Sub(c.at) >= Every-spread(id)
	}
}

// spread is between 0 and 10 s.
func spread(id string) time.Duration {
	if len(id) == 0 {
		return 0
	}
	return time.Duration(id[len(id)-1]%10) * time.Second
}

// Inspect takes a look into account, and forgets the containers that are no more.
func (s *Inspector) Inspect(i *Inspection) {
	before := s.containers
	s.containers = make(map[string]*inspected, len(i.Pods))
	for id := range i.Pods {
		if c := before[id]; c != nil && !i.Ended[id] {
			s.containers[id] = c
		}
	}
	for j := range i.Containers {
		c := &i.Containers[j]
		now := &inspected{pod: c.Pod, at: i.At, mounts: c.MountIDs, userIDs: c.UserIDs, granted: c.Grant != nil, since: map[suspicion]time.Time{}}
		if len(c.Processes) > 0 {
			now.start = c.Processes[0].StartTime
		}
		s.containers[c.ID] = now
	}
	owners := s.owners()
	for j := range i.Containers {
		c := &i.Containers[j]
		s.take(i, c, before[c.ID], owners)
	}
}

// Settled tells whether a container was looked at closely: all was read, it was known what the spec asks
// for, and what was open at first was looked at again. What is seen open for the first time later on is
// mostly the runtime's, as with every exec, and unsettles nothing.
func (s *Inspector) Settled(id string) bool {
	c := s.containers[id]
	return c != nil && c.settled
}

// owners tells of the mounts that are no node's whose they are.
func (s *Inspector) owners() map[int]isolation.PodRef {
	owners := make(map[int]isolation.PodRef)
	for _, c := range s.containers {
		for _, id := range c.mounts {
			owners[id] = c.pod
		}
	}
	return owners
}

// take is what one container showed. There is one finding for each kind and portal.
func (s *Inspector) take(i *Inspection, c *Container, before *inspected, owners map[int]isolation.PodRef) {
	now := s.containers[c.ID]
	if c.Chroot != "" && c.Unread == "" {
		c.Unread = "its first process is in a chroot: what is mounted outside of it is not seen"
	}
	if c.Unread != "" {
		now.findings = append(now.findings, c.finding(v1alpha1.Unverified, isolation.PortalMounts, isolation.Sanitize(c.Unread, 512)))
	}
	all := i.openings(c, owners)
	if len(c.Processes) > 0 {
		all = append(all, c.sharedIDs(s.containers)...)
	}
	for _, o := range all {
		key := suspicion{o.kind, o.portal, o.place, o.by.PID, o.by.StartTime}
		if o.anybody {
			key.pid, key.start = 0, 0
		}
		since := i.At
		if before != nil {
			if first, known := before.since[key]; known {
				since = first
			}
		}
		now.since[key] = since
		confirm := s.Confirm
		if o.slow {
			confirm = max(confirm, StartedAfter)
		}
		if i.At.Sub(since) < confirm {
			now.pending = true
			continue
		}
		now.findings = c.tell(now.findings, &o)
	}
	now.whole = now.granted && c.Unread == "" && len(c.Processes) > 0
	now.settled = now.whole && (!now.pending || before != nil && before.whole)
	// What ended while it was looked at had not ended yet, or another one has its place.
	now.pending = now.pending || c.Unread == "" && len(c.Processes) == 0
}

// Findings are what is confirmed, of all containers.
func (s *Inspector) Findings() []isolation.Finding {
	var findings []isolation.Finding
	for _, c := range s.containers {
		findings = append(findings, c.findings...)
	}
	return findings
}

// tell adds an opening to the findings of its container: to the one of its portal, if there is one.
func (c *Container) tell(own []isolation.Finding, o *opening) []isolation.Finding {
	for i := range own {
		if own[i].Kind == o.kind && own[i].Portal == o.portal {
			own[i].Evidence.Processes++
			own[i].Capabilities = joined(own[i].Capabilities, o.capabilities.Names())
			if n := own[i].Evidence.Processes; n <= maxTold {
				own[i].Message += "; " + o.text
			}
			return own
		}
	}
	f := c.finding(o.kind, o.portal, o.text)
	f.Capabilities = o.capabilities.Names()
	if o.kind == v1alpha1.Foreign {
		f.Axis, f.Observed = o.axis.String(), isolation.Foreign
	}
	f.Evidence = &isolation.Evidence{
		PID: o.by.PID, TID: o.by.TID, StartTime: o.by.StartTime, Command: isolation.Sanitize(o.by.Command, 64), Processes: 1, Check: o.check,
	}
	return append(own, f)
}

// joined are the names of both lists, each once.
func joined(a, b []string) []string {
	for _, name := range b {
		if !slices.Contains(a, name) {
			a = append(a, name)
		}
	}
	return a
}

// maxTold is how many openings of one portal a message tells.
const maxTold = 3

func (c *Container) finding(kind v1alpha1.FindingKind, portal, message string) isolation.Finding {
	return isolation.Finding{Kind: kind, Pod: c.Pod, Container: c.Name, ContainerID: c.ID, Portal: portal, Message: message}
}
