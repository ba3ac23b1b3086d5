// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// apart adds so many processes of the container, each of which has made one namespace for itself.
func apart(tree *proctest.Tree, first, count int) {
	for i := range count {
		tree.Add(proctest.Process{
			PID: first + i, PPID: 110, Start: uint64(100_000 + i), Comm: "apart", Cgroup: inApp,
			NS: proctest.Pod(1, 1).With(proctest.UTS, 0xF5000000+uint64(i)),
		})
	}
}

func TestACrowdInWhichEveryoneIsElsewhere(t *testing.T) {
	// Who is out is younger than all others, so that all of them come first, and has the highest number.
	out := func(ns proctest.Namespaces) proctest.Process {
		return proctest.Process{PID: 90_000, PPID: 110, Start: 900_000, Comm: "out", Cgroup: inApp, NS: ns}
	}
	tree := proctest.New(t)
	tree.Add(append(theWeb(), theOther()...)...)
	// It was found before the crowd came, and is older.
	tree.Add(proctest.Process{PID: 80_000, PPID: 110, Start: 2000, Comm: "early", Cgroup: inApp,
		NS: proctest.Pod(1, 1).With(proctest.IPC, proctest.Pod(2, 1)[proctest.IPC])})
	w := watch(t, tree, pods{web(), other()})
	same(t, told(w.settled()), []string{"Foreign shop/web ipc"})
	levels := func(o isolation.Observation, pod string) isolation.Vector {
		for i := range o.Pods {
			if o.Pods[i].Name == pod {
				return o.Pods[i].Levels
			}
		}
		return isolation.Vector{}
	}

	apart(tree, 1000, maxAlone+maxPlaces-3) // 110, 111 and 80000 are kept too
	w.look(2 * time.Second)
	t.Run("is judged up to the bound", func(t *testing.T) {
		o := w.look(2 * time.Second)
		same(t, told(o), []string{"Foreign shop/web ipc"})
		same(t, levels(o, "web")[isolation.Mount], isolation.Container)
	})

	tree.Add(out(proctest.Pod(1, 1).With(proctest.Net, proctest.Pod(2, 1)[proctest.Net])))
	w.look(2 * time.Second)
	o := w.look(2 * time.Second)
	t.Run("is Unknown beyond it, and what was found stays", func(t *testing.T) {
		found := told(o)
		same(t, found[0], "Foreign shop/web ipc")
		same(t, found[1:], []string{"Unverified shop/web"})
		same(t, o.Findings[1].Message, tooMany)
		same(t, levels(o, "web")[isolation.Network], isolation.Unknown)
	})
	t.Run("leaves other pods alone", func(t *testing.T) {
		same(t, levels(o, "db")[isolation.Network], isolation.Pod)
	})

	tree.Add(out(proctest.Pod(1, 1).With(proctest.Mnt, proctest.Node[proctest.Mnt])))
	w.look(2 * time.Second)
	t.Run("hides nobody who is in a namespace of the node's", func(t *testing.T) {
		o := w.look(2 * time.Second)
		same(t, told(o)[0], "Escape shop/web mount")
		same(t, o.Findings[0].Evidence.PID, 90_000)
	})
}

func TestThinningACrowdAtOnceOrAsItComesLeavesTheSame(t *testing.T) {
	records := make([]record, 9000)
	for i := range records {
		// Younger ones have lower numbers, as when numbers begin again; half of them are where others are.
		r := record{by: pod(uid, id, Containerd)}
		r.PID, r.StartTime = i+1, uint64(len(records)-i)
		for a := range r.Namespaces {
			r.Namespaces[a].ID = isolation.NamespaceID{Dev: 1, Inode: 7}
		}
		if i%2 == 0 {
			r.Namespaces[isolation.UTS].ID.Inode = uint64(1000 + i)
		}
		records[i] = r
	}
	looker := func() *Looker { return &Looker{crowds: map[string]int{}, untold: map[string]bool{}} }
	coming, atOnce := looker(), looker()
	for i := range records {
		coming.keep(&records[i])
	}
	coming.thinAll()
	atOnce.records, atOnce.crowds[id] = append([]record(nil), records...), len(records)
	atOnce.thinAll()
	kept := func(l *Looker) (pids []int, alike int) {
		for i := range l.records {
			pids = append(pids, l.records[i].PID)
			alike += len(l.records[i].alike)
		}
		return pids, alike
	}
	pids, alike := kept(coming)
	wantPIDs, wantAlike := kept(atOnce)
	same(t, pids, wantPIDs)
	same(t, alike, wantAlike)
	same(t, len(pids), maxAlone+maxPlaces)
	same(t, pids[len(pids)-1], len(records)) // the oldest
	same(t, coming.untold, map[string]bool{id: true})
}
