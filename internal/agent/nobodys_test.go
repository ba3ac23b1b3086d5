// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// aNode is a looker at a machine with a process that is nobody's and has been seen for longer than it takes to settle.
func aNode(t *testing.T) (*proctest.Tree, *witness) {
	t.Helper()
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	tree.Add(proctest.Process{PID: 500, PPID: 1, Comm: "cron", Cgroup: "0::/system.slice/cron.service", NS: proctest.Node})
	w := watch(t, tree, pods{web()})
	for range 8 {
		w.quickly()
	}
	return tree, w
}

// quickly takes a look at the default interval that does not read everybody, and gives the processes of the web's container.
func (w *witness) quickly() []int {
	w.t.Helper()
	w.now = w.now.Add(10 * time.Second)
	look, err := w.Look(w.now, false)
	if err != nil {
		w.t.Fatal(err)
	}
	var pids []int
	for i := range look.Containers {
		if c := &look.Containers[i]; c.Name == "app" {
			for j := range c.Processes {
				pids = append(pids, c.Processes[j].PID)
			}
		}
	}
	return pids
}

func TestWhoWasNobodysAndIsInAContainersPidNamespaceIsFoundAtOnce(t *testing.T) {
	tree, w := aNode(t)
	same(t, w.quickly(), []int{110, 111})
	tree.Move(500, proctest.PID, proctest.Pod(1, 1)[proctest.PID])
	same(t, w.quickly(), []int{110, 111, 500})
}

func TestWhoWasNobodysAndIsPutIntoAContainersCgroupIsFoundWithinAMinute(t *testing.T) {
	tree, w := aNode(t)
	tree.Rewrite(500, "cgroup", inApp+"\n")
	looks := 1
	for ; len(w.quickly()) < 3; looks++ {
		if looks > 6 {
			t.Fatal("it is not found within a minute")
		}
	}
	same(t, w.quickly(), []int{110, 111, 500})
}

func TestASweepFindsAtOnceWhoWasPutIntoAContainersCgroup(t *testing.T) {
	tree, w := aNode(t)
	tree.Rewrite(500, "cgroup", inApp+"\n")
	same(t, containers(w.look(time.Second))["web/app"], []int{110, 111, 500})
}

func TestWhomASweepAskedIsAskedAgainAMinuteLater(t *testing.T) {
	tree, w := aNode(t)
	w.look(10 * time.Second)
	tree.Rewrite(500, "cgroup", inApp+"\n")
	for range 5 {
		same(t, w.quickly(), []int{110, 111})
	}
	same(t, w.quickly(), []int{110, 111, 500})
}

func TestANumberThatAnotherProcessHasIsAskedAnew(t *testing.T) {
	tree, w := aNode(t)
	tree.Add(proctest.Process{PID: 500, PPID: 110, Comm: "shell", Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.PID, proctest.Node[proctest.PID])})
	same(t, w.quickly(), []int{110, 111, 500})
}

func TestWhoJustBeganIsAskedAtEveryLook(t *testing.T) {
	tree, w := aNode(t)
	tree.Add(proctest.Process{PID: 501, PPID: 1, Comm: "runc", Cgroup: "0::/system.slice/containerd.service", NS: proctest.Node})
	for range 5 {
		w.quickly()
	}
	tree.Rewrite(501, "cgroup", inApp+"\n")
	same(t, w.quickly(), []int{110, 111, 501})
}

func TestWhoCouldNotBeAskedIsNotSettled(t *testing.T) {
	tree, w := aNode(t)
	for _, refused := range []proctest.Process{
		{PID: 502, PPID: 1, Comm: "dark", Cgroup: "0::/system.slice/dark.service", NS: proctest.Node.With(proctest.PID, 0)},
		{PID: 503, PPID: 1, Comm: "odd", Cgroup: "nonsense", NS: proctest.Node},
	} {
		tree.Add(refused)
		for range 8 {
			w.quickly()
		}
		tree.Rewrite(refused.PID, "cgroup", inApp+"\n")
		same(t, w.quickly(), []int{110, 111, refused.PID})
		tree.Remove(refused.PID)
	}
}

// TestNobodysAgainstWhatTheyMean holds them against their definition, for processes that come and go in any order.
func TestNobodysAgainstWhatTheyMean(t *testing.T) {
	type known struct {
		inode        uint64
		since, asked int
	}
	var n nobodys
	before, settled := map[int]known{}, 0
	for look := 0; look < 2000; look++ {
		seconds := look * 7
		n.begin(start.Add(time.Duration(seconds) * time.Second))
		now := map[int]known{}
		for pid := 1; pid < 60; pid++ {
			if (look/(pid%13+1)+pid)%5 == 0 {
				continue // it is not there
			}
			e := procns.Entry{PID: pid, Inode: uint64(look / (20 * (pid%4 + 1)))}
			was, ok := before[pid]
			ok = ok && was.inode == e.Inode
			want := ok && was.asked-was.since >= 60 && seconds-was.asked < 60
			if got := n.settled(e); got != want {
				t.Fatalf("look %d, process %d: settled is %t, want %t", look, pid, got, want)
			}
			if want {
				settled++
			}
			if (look+pid)%29 == 0 {
				continue // it was found to be somebody's
			}
			if !ok {
				was = known{inode: e.Inode, since: seconds}
			}
			asked := !want || look%10 == 0 // or a sweep did
			if asked {
				was.asked = seconds
			}
			now[pid] = was
			n.keep(e, asked)
		}
		before = now
	}
	if settled < 1000 {
		t.Errorf("%d were settled: the test says little", settled)
	}
}
