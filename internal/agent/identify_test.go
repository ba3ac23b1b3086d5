// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestStrays(t *testing.T) {
	tests := map[string]struct {
		processes []proctest.Process
		pods      pods
		want      string // begins the message; empty for no finding
	}{
		"a pod that the API does not know": {
			processes: theOther(), want: strayPod,
		},
		"a static pod without a mirror": {
			processes: []proctest.Process{
				{PID: 100, PPID: 1, Cgroup: in(static, proctest.ID("5")), NS: proctest.Pod(1, 0)},
				{PID: 110, PPID: 1, Cgroup: in(static, proctest.ID("a")), NS: proctest.Pod(1, 1)},
			},
			want: strayStatic,
		},
		"a static pod whose mirror names the container": {
			processes: []proctest.Process{
				{PID: 100, PPID: 1, Cgroup: in(static, proctest.ID("5")), NS: proctest.Pod(1, 0)},
				{PID: 110, PPID: 1, Cgroup: in(static, proctest.ID("a")), NS: proctest.Pod(1, 1)},
			},
			pods: pods{web()},
		},
		"a static pod whose mirror has no status yet": {
			processes: []proctest.Process{
				{PID: 100, PPID: 1, Cgroup: in(static, proctest.ID("5")), NS: proctest.Pod(1, 0)},
			},
			pods: pods{{UID: uid, Namespace: "shop", Name: "web", ConfigHash: static}},
		},
		"a container that the pod's status does not name": {
			processes: append(theWeb(), proctest.Process{PID: 130, PPID: 1, Cgroup: in(uid, proctest.ID("c")), NS: proctest.Pod(1, 2)}),
			pods:      pods{web()}, want: strayContainer,
		},
		"a container that the status of a pod that is starting does not name yet": {
			processes: append(theWeb(), proctest.Process{PID: 130, PPID: 1, Cgroup: in(uid, proctest.ID("c")), NS: proctest.Pod(1, 2)}),
			pods:      pods{starting(web())},
		},
		"a second single process that no status names is no sandbox": {
			processes: append(theWeb(), proctest.Process{PID: 105, PPID: 1, Cgroup: in(uid, proctest.ID("c")), NS: proctest.Pod(1, 2)}),
			pods:      pods{web()}, want: strayContainer,
		},
		"a sandbox with a second process is no sandbox": {
			processes: append(theWeb(), proctest.Process{PID: 105, PPID: 100, Cgroup: inSandbox, NS: proctest.Pod(1, 0)}),
			pods:      pods{web()}, want: strayContainer,
		},
		"a container outside of Kubernetes is nobody's stray": {
			processes: []proctest.Process{{PID: 300, PPID: 1, Cgroup: "0::/docker/" + proctest.ID("d"), NS: proctest.Pod(3, 1)}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			tree.Add(test.processes...)
			w := watch(t, tree, test.pods)
			if o := w.settled(); len(o.Findings) > 0 {
				t.Errorf("found without grace: %v", told(o))
			}
			o := w.look(isolation.OrphanAfter)
			switch {
			case test.want == "" && len(o.Findings) > 0:
				t.Errorf("found: %v", told(o))
			case test.want != "" && (len(o.Findings) != 1 || !strings.HasPrefix(o.Findings[0].Message, test.want)):
				t.Errorf("found %v, want one orphan: %s", o.Findings, test.want)
			}
		})
	}
}

func starting(pod Pod) Pod {
	pod.Starting = true
	return pod
}

func TestSandboxesAreToldByFactsWhereNoAPITells(t *testing.T) {
	crio := func(id string) string { return "0::/kubepods/besteffort/pod" + uid + "/crio-" + id }
	shared := proctest.Pod(1, 1)
	tests := map[string]struct {
		processes []proctest.Process
		want      map[string][]int
	}{
		"the oldest, alone": {theWeb(), map[string][]int{"/sandbox": {100}, "/a": {110, 111}}},
		"a pod with one container and no sandbox has none": {
			theWeb()[1:2], map[string][]int{"/a": {110}},
		},
		"the oldest, not alone, is a container": {
			append(theWeb()[1:], proctest.Process{PID: 130, PPID: 1, Cgroup: in(uid, proctest.ID("c")), NS: proctest.Pod(1, 2)}),
			map[string][]int{"/a": {110, 111}, "/c": {130}},
		},
		"CRI-O makes none that holds no pid namespace": {
			[]proctest.Process{
				{PID: 110, PPID: 1, Cgroup: crio(proctest.ID("a")), NS: proctest.Pod(1, 1)},
				{PID: 130, PPID: 1, Cgroup: crio(proctest.ID("c")), NS: proctest.Pod(1, 2)},
			},
			map[string][]int{"/a": {110}, "/c": {130}},
		},
		"CRI-O makes one that holds a pid namespace": {
			[]proctest.Process{
				{PID: 110, PPID: 1, Cgroup: crio(proctest.ID("a")), NS: shared},
				{PID: 130, PPID: 1, Cgroup: crio(proctest.ID("c")), NS: shared.With(proctest.Mnt, 0xF1000001)},
			},
			map[string][]int{"/sandbox": {110}, "/c": {130}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			tree.Add(test.processes...)
			same(t, containers(watch(t, tree, nil).settled()), test.want)
		})
	}
}

func TestAContainerThatRunsAndHasNoProcess(t *testing.T) {
	tree := proctest.New(t)
	w := watch(t, tree, pods{web()})
	o := w.settled()
	same(t, o.Pods[0].Levels, isolation.Fill(isolation.Unknown))
	if len(o.Findings) > 0 {
		t.Errorf("told at once: %v", told(o))
	}
	o = w.look(isolation.MissingAfter)
	same(t, told(o), []string{"Unverified shop/web"})
	same(t, o.Pods[0].Levels, isolation.Fill(isolation.Unknown))

	tree.Add(theWeb()...)
	if o = w.look(time.Second); len(o.Findings) > 0 {
		t.Errorf("it is there, and still: %v", told(o))
	}
	tree.Remove(110, 111)
	if o = w.look(time.Second); len(o.Findings) > 0 {
		t.Errorf("the grace does not begin anew: %v", told(o))
	}
}

func TestAPodWithAKernelOfItsOwn(t *testing.T) {
	p := web()
	p.NotApplicable = "runtime class kata"
	tree := proctest.New(t)
	o := watch(t, tree, pods{p}).look(0)
	same(t, told(o), []string{"Unverified shop/web"})
	same(t, o.Pods[0].Levels, isolation.Fill(isolation.NotApplicable))

	tree.Add(proctest.Process{PID: 100, PPID: 1, Comm: "qemu", Cgroup: inSandbox, NS: proctest.Node})
	o = watch(t, tree, pods{p}).settled()
	same(t, o.Pods[0].Levels, isolation.Fill(isolation.NotApplicable))
}

func TestTheAgentsOwnPodSeenFromAPrivateCgroupNamespace(t *testing.T) {
	agent := Pod{UID: uid, Namespace: "bulkhead-system", Name: "agent", Containers: []Container{
		{Name: "agent", ID: proctest.ID("a"), Running: true, Claim: plain},
	}}
	tree := proctest.New(t)
	tree.Add(
		proctest.Process{PID: 1, NS: proctest.Node, Cgroup: "0::/../../../../init.scope"},
		proctest.Process{PID: 100, PPID: 1, Cgroup: "0::/../cri-containerd-" + proctest.ID("5") + ".scope", NS: proctest.Pod(1, 0)},
		proctest.Process{PID: 110, PPID: 1, Cgroup: "0::/", NS: proctest.Pod(1, 1)},
		proctest.Process{PID: 210, PPID: 1, Cgroup: "0::/../../pod" + otherUID + "/" + proctest.ID("b"), NS: proctest.Pod(2, 1)},
		proctest.Process{PID: 300, PPID: 1, Cgroup: "0::/../../../../system.slice/ssh.service", NS: proctest.Node},
	)
	o := watch(t, tree, pods{agent, other()}).settled()
	same(t, containers(o), map[string][]int{"agent/sandbox": {100}, "agent/agent": {110}, "db/db": {210}})
	same(t, told(o), []string(nil))
}

func TestAnEscapeIsConfirmedAndToldWithItsEvidence(t *testing.T) {
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	tree.Add(theOther()...)
	w := watch(t, tree, pods{web(), other()})
	w.settled()
	tree.Add(
		proctest.Process{PID: 115, PPID: 110, Comm: "nsenter", Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.Mnt, proctest.Node[proctest.Mnt])},
		proctest.Process{PID: 116, PPID: 110, Comm: "peeper", Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.Net, proctest.Pod(2, 1)[proctest.Net])},
		// A browser's sandbox: a namespace of its own, below the container's.
		proctest.Process{PID: 117, PPID: 110, Comm: "chrome", Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.Net, 0xF4000000)},
	)
	if o := w.look(time.Second); len(o.Findings) > 0 || !o.Pending {
		t.Errorf("one look proves nothing: %v", told(o))
	}
	o := w.look(time.Second)
	same(t, told(o), []string{"Escape shop/web mount", "Foreign shop/web network"})
	same(t, o.Findings[1].Evidence.Owner, "shop/db")
	tree.Remove(115, 116)
	same(t, told(w.look(time.Second)), []string(nil))
}

func TestHierarchiesThatNameDifferentPodsAreAFinding(t *testing.T) {
	tree := proctest.New(t)
	both := func(a, b string) string {
		return "2:pids:" + strings.TrimPrefix(a, "0::") + "\n1:memory:" + strings.TrimPrefix(b, "0::")
	}
	host := proctest.Node.With(proctest.Mnt, 0xF5000000)
	tree.Add(
		proctest.Process{PID: 110, PPID: 1, Cgroup: both(inApp, inApp), NS: host},
		proctest.Process{PID: 111, PPID: 110, Comm: "\x1b[2J", Cgroup: both(inApp, inOther), NS: host},
	)
	p := web()
	p.Containers[0].Claim = isolation.Vector{}
	w := watch(t, tree, pods{p})
	o := w.settled()
	if len(o.Findings) != 1 || !strings.Contains(o.Findings[0].Message, "memory pod "+otherUID) {
		t.Fatalf("found %+v", o.Findings)
	}
	same(t, o.Findings[0].Evidence.PID, 111)
	same(t, o.Findings[0].Evidence.Command, `\x1b[2J`)
}
