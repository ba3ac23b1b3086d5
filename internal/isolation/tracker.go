// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"errors"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Confirmation and grace. A lone look proves nothing: runc's init is in the pod's cgroup before
// it has joined the pod's namespaces, and every exec starts so.
const (
	// ConfirmAfter is how far apart two looks at the same process must be.
	ConfirmAfter = time.Second
	// OrphanAfter is how long a container may be unknown to the API: a static pod's mirror and the
	// agent's own watch come some seconds after the processes.
	OrphanAfter = time.Minute
	// StartingAfter is the same in a pod of which the API says that containers are yet to run: a kubelet that
	// starts many pods at once tells of their containers when it has time, which was seen to take two minutes.
	StartingAfter = 5 * time.Minute
	// MissingAfter is how long a container that the API calls running may have no process before that is
	// a finding: a kubelet with much to do tells of ends as late as of beginnings. The container's levels are
	// Unknown, and its pod unverified, from the first look on.
	MissingAfter = StartingAfter
	// VisitedAfter is how long a thread from outside of containers may leave open whose the namespace of
	// a container's process is before that is a finding. Those of runc are there while it creates the
	// container, which was seen to take 10 s on a busy node. The level is Unknown from the first look on.
	VisitedAfter = time.Minute
)

// Tracker turns looks into observations. It remembers from look to look what one look alone
// cannot tell: where a container started, whose a namespace was, what was seen before. It is not
// for concurrent use.
type Tracker struct {
	memory memory
}

// NewTracker is a tracker that has seen nothing yet, but for the findings of a former life: what
// had been found to be an escape does not become a drift by a restart, and what was an orphan is one at
// once.
func NewTracker(known []Finding) *Tracker {
	t := &Tracker{memory: newMemory()}
	for i := range known {
		f := &known[i]
		if f.Kind == v1alpha1.Orphan {
			t.memory.strays[f.ContainerID] = time.Time{} // longer ago than it takes
		}
		a, ok := ParseAxis(f.Axis)
		if !ok || f.Kind != v1alpha1.Escape || f.Evidence == nil {
			continue
		}
		t.memory.escaped[containerAxis{f.ContainerID, a}] = procKey{pid: f.Evidence.PID, start: f.Evidence.StartTime}
	}
	return t
}

// Observation is what is known after a look.
type Observation struct {
	// Containers in the order of the look, sandboxes included.
	Containers []ObservedContainer
	// Pods in order of first appearance: every pod with its lowest levels.
	Pods []ObservedPod
	// Findings that are confirmed, worst first.
	Findings []Finding
	// Pending is set if something was seen that a second look must confirm, [ConfirmAfter] from now.
	Pending bool
}

// ErrUnexplained: a container's process is in a namespace that neither the node, nor a sandbox,
// nor a look before explains. One of the processes outside of containers may hold it: look again
// with them.
var ErrUnexplained = errors.New("a namespace is not explained without the processes outside of containers")

// ObservedContainer is a container's lowest levels over all of its processes.
type ObservedContainer struct {
	*ContainerLook
	Levels Vector
	// Inodes of the namespaces of its first process; 0 where it could not be read.
	Inodes [NumAxes]uint64
}

// ObservedPod is a pod's lowest levels over all of its containers.
type ObservedPod struct {
	PodRef
	Levels Vector
	// Inspected is set by whoever looks closely, if all of the pod's containers were looked at so.
	Inspected bool
}

// Observe takes a look into account. The only error is [ErrUnexplained]: then nothing was taken
// into account, and the look must be taken again with the processes outside.
func (t *Tracker) Observe(look *Look) (Observation, error) {
	r := &round{look: look, before: &t.memory, after: newMemory(), owners: ownershipOf(look, &t.memory)}
	pods := make(map[string]int)
	for i := range look.Containers {
		c := &look.Containers[i]
		oc := r.container(c)
		r.out.Containers = append(r.out.Containers, oc)
		if c.Pod.UID == "" || oc.Levels == (Vector{}) {
			// In no pod; or a sandbox alone, which says nothing about its pod.
			continue
		}
		at, known := pods[c.Pod.UID]
		if !known {
			at = len(r.out.Pods)
			pods[c.Pod.UID] = at
			r.out.Pods = append(r.out.Pods, ObservedPod{PodRef: c.Pod})
		}
		r.out.Pods[at].Levels.Lower(&oc.Levels)
	}
	if r.unexplained {
		return Observation{}, ErrUnexplained
	}
	for i := range r.out.Pods {
		r.out.Pods[i].Levels.admit()
	}
	SortFindings(r.out.Findings)
	r.after.remember(look, r.owners, &t.memory)
	t.memory = r.after
	return r.out, nil
}
