// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// seen is what the looks so far showed.
type seen struct {
	bootID, kernel string
	node           procns.NodeNamespaces
	observation    isolation.Observation
	runtimes       map[string]agent.Runtime // by container
	cgroups        map[string]string        // by container: the path of its first process
	alone          []aloneGroup
	processes      int
	problems       []agent.Problem
	// hidden is set if /proc leaves out other users' processes.
	hidden bool
}

// wait lets the time pass, unless the context ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// looker looks again and again.
type looker struct {
	tree    *procns.FS
	looker  *agent.Looker
	tracker *isolation.Tracker
	// outside looks at what is in no container, which the other looker does only where it must.
	outside *agent.Looker
	alone   *aloneWatch
}

func newLooker(tree *procns.FS) *looker {
	return &looker{
		tree:    tree,
		looker:  agent.NewLooker(tree, nil, agent.LookerOptions{Inspect: isolation.ConfirmAfter}),
		tracker: isolation.NewTracker(nil),
		outside: agent.NewLooker(tree, nil, agent.LookerOptions{Threads: -1}),
		alone:   newAloneWatch(),
	}
}

// first takes two looks, [isolation.ConfirmAfter] apart, always: a lone look confirms nothing, for
// what a runtime just starts is in the node's namespaces for a moment, and looks like an escape.
// A second look only where the first raised a suspicion would not do either: where a container
// started is known only once it was seen twice, so until then no other process can be below it.
func (l *looker) first(ctx context.Context) (*seen, error) {
	if _, err := l.again(); err != nil {
		return nil, err
	}
	if err := wait(ctx, isolation.ConfirmAfter); err != nil {
		return nil, err
	}
	return l.again()
}

// next waits and takes one look.
func (l *looker) next(after time.Duration) func(context.Context) (*seen, error) {
	return func(ctx context.Context) (*seen, error) {
		if err := wait(ctx, after); err != nil {
			return nil, err
		}
		return l.again()
	}
}

// again takes one look, at least [isolation.ConfirmAfter] after the last one.
func (l *looker) again() (*seen, error) {
	now := time.Now()
	observation, err := l.looker.Observe(l.tracker, now)
	if err != nil {
		return nil, err
	}
	outside, err := l.outside.Look(now, true)
	if err != nil {
		return nil, err
	}
	s := &seen{
		node: l.looker.Node(), observation: observation,
		runtimes: make(map[string]agent.Runtime), cgroups: make(map[string]string),
		alone:     l.alone.groups(outside),
		processes: l.looker.Stats().Processes, problems: l.looker.Problems(), hidden: l.hidden(),
	}
	for i := range observation.Containers {
		c := &observation.Containers[i]
		s.runtimes[c.ID] = l.looker.RuntimeOf(c.ID)
		if first := c.First(); first != nil {
			s.cgroups[c.ID] = l.cgroupOf(first.PID, c.ID)
		}
	}
	// Both are for people who compare results; without them the rest is as good.
	s.bootID, _ = l.tree.BootID()
	s.kernel, _ = l.tree.KernelRelease()
	return s, nil
}

// hidden tells whether the tree keeps other users' processes from the reader, as one does that was
// mounted with hidepid: of its first process everybody else may read this.
func (l *looker) hidden() bool {
	p, err := l.tree.Process(1)
	if err != nil {
		return true
	}
	defer func() { _ = p.Close() }() // nothing was written
	_, err = p.Stat()
	return err != nil
}

// cgroupOf is the path of the process's cgroup, of several hierarchies that of the first which names
// the container; empty if it cannot be read.
func (l *looker) cgroupOf(pid int, container string) string {
	p, err := l.tree.Process(pid)
	if err != nil {
		return ""
	}
	defer func() { _ = p.Close() }() // nothing was written
	cgroups, err := p.Cgroups()
	if err != nil || len(cgroups) == 0 {
		return ""
	}
	for i := range cgroups {
		if strings.Contains(cgroups[i].Path, container) {
			return cgroups[i].Path
		}
	}
	return cgroups[0].Path
}
