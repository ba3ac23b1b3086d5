// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

func TestAProcThatShowsOnlyAContainer(t *testing.T) {
	container := proctest.Pod(1, 1)
	tests := map[string]struct {
		init, self string // cgroups
		nested     bool
		confined   bool
	}{
		"a pod without hostPID, cgroup v1":              {inApp, inApp, true, true},
		"a pod without hostPID, private cgroups":        {"0::/", "0::/", true, true},
		"a pod with hostPID on a node that is nested":   {"0::/init.scope", inApp, true, false},
		"a pod with hostPID, private cgroups":           {"0::/../../../../init.scope", "0::/", true, false},
		"a shell on a node that is nested":              {"0::/nodes/one", "0::/nodes/one", true, false},
		"a shell on a bare machine that has no systemd": {"0::/", "0::/", false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			ns := proctest.Node
			if test.nested {
				ns = container
				tree.Remove(2)
			}
			tree.Add(
				proctest.Process{PID: 1, Cgroup: test.init, NS: ns},
				proctest.Process{PID: 30, PPID: 1, Cgroup: test.self, NS: ns},
			)
			w := watch(t, tree, nil)
			w.self = 30
			w.look(0)
			confined := false
			for _, p := range w.Problems() {
				confined = confined || p.Reason == ReasonNotNodePIDNamespace
			}
			same(t, confined, test.confined)
		})
	}
}

func TestLinksThatAreRefused(t *testing.T) {
	established := procns.NodeNamespaces{}
	for k := range established.Sets {
		established.Sets[k].IDs = []procns.ID{{Ino: 1}}
	}
	tests := map[string]struct {
		looker Looker
		want   string // in the message; empty for no problem
	}{
		"none":                             {Looker{readable: true}, ""},
		"that of the first process only":   {Looker{readable: true, refusedAll: true}, ""},
		"of every process":                 {Looker{refusedAll: true}, "the namespaces of other processes cannot be read: run as uid 0 with the capability SYS_PTRACE"},
		"of a process in a container":      {Looker{readable: true, refusedAll: true, refusedInside: true}, "of some processes in containers"},
		"there are no processes to ask of": {Looker{}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.looker.node = established
			problems := test.looker.selfTest()
			switch {
			case test.want == "" && len(problems) > 0:
				t.Errorf("problems: %v", problems)
			case test.want != "" && (len(problems) != 1 || problems[0].Reason != ReasonReadRefused || !strings.Contains(problems[0].Message, test.want)):
				t.Errorf("problems %v do not say %q", problems, test.want)
			}
		})
	}
}

func TestProblemsAreTheSameFromLookToLook(t *testing.T) {
	tree := proctest.New(t)
	tree.Remove(2)
	tree.Add(proctest.Process{PID: 1, Comm: "init", Cgroup: "0::/init.scope"})
	w := watch(t, tree, nil)
	w.look(0)
	first := w.Problems()
	w.look(time.Second)
	same(t, w.Problems(), first)
}
