// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

// session is the cgroup of somebody who logged in to the node.
const session = "0::/user.slice/user-0.slice/session-1.scope"

func TestWhoLeftAContainersCgroup(t *testing.T) {
	web, node := proctest.Pod(1, 1), proctest.Pod(1, 1).With(proctest.PID, proctest.Node[proctest.PID])
	leaver := []string{"Escape shop/web"}
	for name, test := range map[string]struct {
		hostPID bool
		add     []proctest.Process
		want    []string
	}{
		"a child of the container's": {add: []proctest.Process{{PID: 120, PPID: 111, Cgroup: "0::/", NS: web}}, want: leaver},
		"and its own child": {add: []proctest.Process{
			{PID: 120, PPID: 111, Cgroup: session, NS: web}, {PID: 121, PPID: 120, Cgroup: session, NS: web},
		}, want: leaver},
		"an orphan whose session's leader has ended": {add: []proctest.Process{{PID: 120, PPID: 110, Session: 119, Cgroup: "0::/", NS: web}}, want: leaver},
		"the container's first process":              {add: []proctest.Process{{PID: 110, PPID: 1, Cgroup: "0::/", NS: web}}, want: leaver},
		"who went to another pod's cgroup":           {add: append(theOther(), proctest.Process{PID: 120, PPID: 111, Cgroup: inOther, NS: web}), want: leaver},
		"who shares the node's pid namespace and was seen leaving": {
			hostPID: true, add: []proctest.Process{{PID: 120, PPID: 111, Cgroup: session, NS: node}}, want: leaver,
		},
		"somebody whom nsenter brought in from the node": {add: []proctest.Process{
			{PID: 118, PPID: 1, Comm: "nsenter", Cgroup: session, NS: proctest.Node}, {PID: 119, PPID: 118, Session: 118, Cgroup: session, NS: web},
			{PID: 120, PPID: 119, Session: 118, Cgroup: session, NS: web},
		}},
		"what such a one left behind": {add: []proctest.Process{
			{PID: 118, PPID: 1, Comm: "bash", Cgroup: session, NS: proctest.Node}, {PID: 120, PPID: 110, Session: 118, Cgroup: session, NS: web},
		}},
		"what such a one left behind who leads a session in the container": {add: []proctest.Process{
			{PID: 119, PPID: 1, Comm: "sh", Cgroup: session, NS: web}, {PID: 120, PPID: 110, Session: 119, Cgroup: session, NS: web},
		}},
		"kubectl exec": {add: []proctest.Process{
			{PID: 119, PPID: 1, Comm: "runc", Cgroup: "0::/system.slice/containerd.service", NS: proctest.Node}, {PID: 120, PPID: 119, Cgroup: inApp, NS: web},
		}},
		"a CNI plugin, in the pod's network for a while": {add: []proctest.Process{
			{PID: 119, PPID: 1, Comm: "containerd", Cgroup: "0::/system.slice/containerd.service", NS: proctest.Node},
			{PID: 120, PPID: 119, Comm: "bridge", Cgroup: "0::/system.slice/containerd.service", NS: proctest.Node.With(proctest.Net, web[proctest.Net])},
		}},
		"the runtime's conmon and shim": {hostPID: true, add: []proctest.Process{
			{PID: 119, PPID: 1, Comm: "conmon", Cgroup: "0::/kubepods/besteffort/pod" + uid + "/crio-conmon-" + id + ".scope", NS: proctest.Node},
			{PID: 120, PPID: 1, Comm: "containerd-shim", Cgroup: "0::/system.slice/containerd.service", NS: proctest.Node},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			pod := Pod{UID: uid, Namespace: "shop", Name: "web", Containers: []Container{{Name: "app", ID: proctest.ID("a"), Running: true}}}
			for _, p := range theWeb() {
				if test.hostPID && p.PID != 100 {
					p.NS = node
				}
				tree.Add(p)
			}
			w := watch(t, tree, pods{pod})
			w.settled()
			tree.Add(test.add...)
			found := func(later time.Duration) (out []string) {
				for _, f := range told(w.look(later)) {
					if strings.HasPrefix(f, "Escape") {
						out = append(out, f)
					}
				}
				return out
			}
			same(t, found(sweepEvery), []string(nil)) // once is not confirmed yet
			same(t, found(2*time.Second), test.want)
			if test.want == nil {
				return
			}
			// Its parent ends, and it comes to somebody else.
			last := test.add[len(test.add)-1]
			last.PPID = 1
			tree.Add(last)
			same(t, found(2*time.Second), test.want)
			tree.Remove(120, 121)
			if last.PID != 110 {
				same(t, found(2*time.Second), []string(nil))
			}
		})
	}
}

// An administrator logs in, enters a container, leaves a daemon there, and logs out.
func TestWhoWasBroughtInHasNotLeftWhenWhoBroughtItEnds(t *testing.T) {
	web := proctest.Pod(1, 1)
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	w := watch(t, tree, pods{{UID: uid, Namespace: "shop", Name: "web", Containers: []Container{{Name: "app", ID: proctest.ID("a"), Running: true}}}})
	w.settled()
	tree.Add(
		proctest.Process{PID: 118, PPID: 1, Comm: "bash", Cgroup: session, NS: proctest.Node},
		proctest.Process{PID: 120, PPID: 110, Session: 118, Comm: "daemon", Cgroup: session, NS: web},
	)
	w.look(2 * time.Second)
	tree.Remove(118)
	tree.Add(proctest.Process{PID: 121, PPID: 120, Session: 118, Comm: "child", Cgroup: session, NS: web})
	quiet := func() {
		t.Helper()
		for range 3 {
			for _, f := range told(w.look(30 * time.Second)) {
				if strings.HasPrefix(f, "Escape") {
					t.Errorf("told: %s", f)
				}
			}
		}
	}
	quiet()
	same(t, len(w.brought), 2)
	tree.Remove(120)
	tree.Add(proctest.Process{PID: 121, PPID: 110, Session: 118, Comm: "child", Cgroup: session, NS: web})
	quiet()
	tree.Remove(121)
	w.look(2 * time.Second)
	same(t, len(w.brought), 0)
}

// A shell in a container has started another program, which is moved out of its cgroup, as root of the node can.
func TestARealProcessThatLeftItsContainersCgroup(t *testing.T) {
	for name, flags := range map[string]uintptr{"pid namespace of its own": own, "the node's pid namespace": own &^ syscall.CLONE_NEWPID} {
		t.Run(name, func(t *testing.T) {
			cgroup := cgroupOf(t, proctest.ID("a"))
			first, proceed := shellIn(t, cgroup, &syscall.SysProcAttr{Cloneflags: flags, Setsid: true}, "sleep 1000 & echo ready; read end; kill $!")
			proceed()
			w := realWitness(t)
			pids, findings := ofWeb(w.settled())
			if findings["Escape "] != nil || len(pids) != 2 {
				t.Fatalf("before: processes %v, findings %v", pids, names(findings))
			}
			child := pids[0] + pids[1] - first

			move(t, child, filepath.Join(cgroup, "..", "..", "..")) // the test's own
			w.look(sweepEvery)
			pids, findings = ofWeb(w.look(2 * time.Second))
			same(t, pids, ascending(first, child))
			if f := findings["Escape "]; f == nil || f.Evidence.PID != child {
				t.Errorf("it is not found: %v", names(findings))
			}

			move(t, child, cgroup)
			_, findings = ofWeb(w.look(2 * time.Second))
			if findings["Escape "] != nil {
				t.Error("it came back, and is told still")
			}
		})
	}
	t.Run("which somebody entered from the node has lost nobody", func(t *testing.T) {
		first := helper(t, "sleep", own, cgroupOf(t, proctest.ID("a")))
		w := realWitness(t)
		w.settled()
		inPIDNamespaceOf(t, first)
		w.look(sweepEvery)
		if _, findings := ofWeb(w.look(2 * time.Second)); findings["Escape "] != nil {
			t.Errorf("%+v", findings["Escape "])
		}
	})
}
