// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// seen is what two looks showed.
type seen struct {
	bootID, kernel string
	node           procns.NodeNamespaces
	observation    isolation.Observation
	runtimes       map[string]agent.Runtime // by container
	processes      int
	problems       []agent.Problem
}

// clock is the machine's.
type clock struct{}

func (clock) now() time.Time { return time.Now() }

// wait lets the time pass, unless the context ends.
func (clock) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// look takes two looks, [isolation.ConfirmAfter] apart, always: a lone look confirms nothing, for
// what a runtime just starts is in the node's namespaces for a moment, and looks like an escape.
// A second look only where the first raised a suspicion would not do either: where a container
// started is known only once it was seen twice, so until then no other process can be below it.
func look(ctx context.Context, tree *procns.FS, c clock) (*seen, error) {
	looker := agent.NewLooker(tree, nil, agent.LookerOptions{Inspect: isolation.ConfirmAfter})
	tracker := isolation.NewTracker(nil)
	if _, err := looker.Observe(tracker, c.now()); err != nil {
		return nil, err
	}
	if err := c.wait(ctx, isolation.ConfirmAfter); err != nil {
		return nil, err
	}
	observation, err := looker.Observe(tracker, c.now())
	if err != nil {
		return nil, err
	}
	s := &seen{
		node: looker.Node(), observation: observation, runtimes: make(map[string]agent.Runtime),
		processes: looker.Stats().Processes, problems: looker.Problems(),
	}
	for i := range observation.Containers {
		id := observation.Containers[i].ID
		s.runtimes[id] = looker.RuntimeOf(id)
	}
	// Both are for people who compare results; without them the rest is as good.
	s.bootID, _ = tree.BootID()
	s.kernel, _ = tree.KernelRelease()
	return s, nil
}
