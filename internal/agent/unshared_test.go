// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestASweepCountsWhoIsInNamespacesThatAreNobodys(t *testing.T) {
	const own = 0xF9000001
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	for i, ns := range []proctest.Namespaces{
		proctest.Node,
		proctest.Node.With(proctest.Mnt, own), // PrivateTmp=
		proctest.Node.With(proctest.Mnt, own),
		proctest.Node.With(proctest.Net, own+1),                            // ip netns exec
		proctest.Node.With(proctest.Net, proctest.Pod(1, 1)[proctest.Net]), // a CNI plugin in the pod's
		proctest.Node.With(proctest.UTS, 0),                                // not to be read
	} {
		tree.Add(proctest.Process{PID: 300 + i, PPID: 1, Cgroup: "0::/system.slice/some.service", NS: ns})
	}
	// The thread of a daemon that went into a network namespace is no process there.
	tree.Add(proctest.Process{PID: 320, PPID: 1, Cgroup: "0::/system.slice/some.service", NS: proctest.Node, Threads: []proctest.Process{
		{PID: 321, NS: proctest.Node.With(proctest.Net, own+1)},
	}})
	w := watch(t, tree, pods{web()})
	want := [isolation.NumAxes]int{isolation.Mount: 2, isolation.Network: 1}
	w.look(0)
	same(t, w.Stats().Unshared, want)
	tree.Remove(301, 302)
	w.look(10 * time.Second)
	same(t, w.Stats().Unshared, want) // as of the last sweep
	w.look(sweepEvery)
	same(t, w.Stats().Unshared, [isolation.NumAxes]int{isolation.Network: 1})
}
