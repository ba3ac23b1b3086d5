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
		"of every process":                 {Looker{refusedAll: true}, "the namespaces of other processes cannot be read"},
		"of a process in a container":      {Looker{readable: true, refusedAll: true, refusedInside: true}, "of some processes in containers"},
		"there are no processes to ask of": {Looker{}, ""},
	}
	w := watch(t, proctest.New(t), nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.looker.node, test.looker.fs = established, w.fs
			problems := test.looker.selfTest()
			switch {
			case test.want == "" && len(problems) > 0:
				t.Errorf("problems: %v", problems)
			case test.want != "" && (len(problems) != 1 || !problems[0].Refused() || !strings.Contains(problems[0].Message, test.want)):
				t.Errorf("problems %v do not say %q", problems, test.want)
			}
		})
	}
}

func TestWhyAReaderIsRefused(t *testing.T) {
	tests := map[string]struct {
		has    rights
		reason string
		remedy string
	}{
		"its own rights could not be read":      {rights{}, ReasonReadRefused, "run as uid 0 with the capability SYS_PTRACE"},
		"it has no capability":                  {rights{known: true, label: "a (enforce)"}, ReasonNoCapability, "capabilities: {add: [SYS_PTRACE]}"},
		"it is in a user namespace":             {rights{known: true, capability: true, elsewhere: true}, ReasonUserNamespace, "leave hostUsers: false out"},
		"AppArmor":                              {rights{known: true, capability: true, label: "cri-containerd.apparmor.d (enforce)"}, ReasonSecurityModule, "appArmorProfile: {type: Unconfined}"},
		"AppArmor that only complains":          {rights{known: true, capability: true, label: "mine (complain)"}, ReasonSecurityModule, "Landlock"},
		"AppArmor that does not confine it":     {rights{known: true, capability: true, label: "unconfined"}, ReasonSecurityModule, "Landlock"},
		"SELinux":                               {rights{known: true, capability: true, label: "system_u:system_r:container_t:s0:c1,c2"}, ReasonSecurityModule, "seLinuxOptions: {type: spc_t}"},
		"SELinux without categories":            {rights{known: true, capability: true, label: "system_u:system_r:container_t:s0"}, ReasonSecurityModule, "seLinuxOptions: {type: spc_t}"},
		"SELinux without a policy":              {rights{known: true, capability: true, label: "kernel"}, ReasonSecurityModule, "Landlock"},
		"neither, so something without a label": {rights{known: true, capability: true}, ReasonSecurityModule, "Landlock"},
		"a label that is made to mislead":       {rights{known: true, capability: true, label: "\x1b[2J (enforce)"}, ReasonSecurityModule, "AppArmor holds it by the profile \\"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := test.has.refusal("what was asked")
			same(t, p.Reason, test.reason)
			same(t, p.Refused(), true)
			for _, part := range []string{"what was asked", test.remedy} {
				if !strings.Contains(p.Message, part) {
					t.Errorf("%q does not say %q", p.Message, part)
				}
			}
			if strings.Contains(p.Message, "\x1b") {
				t.Errorf("a terminal would obey %q", p.Message)
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
