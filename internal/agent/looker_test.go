// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// start is the time of the first look.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// pods is a directory that does not change.
type pods []Pod

func (p pods) Pods() ([]Pod, bool) { return p, true }

// away is the directory of an API that has not answered.
type away struct{}

func (away) Pods() ([]Pod, bool) { return nil, false }

// plain is what a pod claims that asks for nothing special.
var plain = isolation.Vector{
	isolation.PID: isolation.Container, isolation.Network: isolation.Pod, isolation.IPC: isolation.Pod,
	isolation.UTS: isolation.Pod, isolation.Mount: isolation.Container, isolation.User: isolation.Host,
}

// web is a pod with one container whose ID is made of a's.
func web() Pod {
	return Pod{UID: uid, Namespace: "shop", Name: "web", Containers: []Container{
		{Name: "app", ID: proctest.ID("a"), Running: true, Claim: plain},
	}}
}

// in is the cgroup file of a container of a pod.
func in(uid, id string) string { return "0::/kubepods/besteffort/pod" + uid + "/" + id }

var (
	inSandbox = in(uid, proctest.ID("5"))
	inApp     = in(uid, proctest.ID("a"))
	inOther   = in(otherUID, proctest.ID("b"))
)

// theWeb are the processes of web: its sandbox, its first process and a child of that.
func theWeb() []proctest.Process {
	return []proctest.Process{
		{PID: 100, PPID: 1, Comm: "pause", Cgroup: inSandbox, NS: proctest.Pod(1, 0)},
		{PID: 110, PPID: 1, Comm: "app", Cgroup: inApp, NS: proctest.Pod(1, 1)},
		{PID: 111, PPID: 110, Comm: "worker", Cgroup: inApp, NS: proctest.Pod(1, 1)},
	}
}

// theOther are those of another pod.
func theOther() []proctest.Process {
	return []proctest.Process{
		{PID: 200, PPID: 1, Comm: "pause", Cgroup: in(otherUID, proctest.ID("6")), NS: proctest.Pod(2, 0)},
		{PID: 210, PPID: 1, Comm: "db", Cgroup: inOther, NS: proctest.Pod(2, 1)},
	}
}

func other() Pod {
	return Pod{UID: otherUID, Namespace: "shop", Name: "db", Containers: []Container{
		{Name: "db", ID: proctest.ID("b"), Running: true, Claim: plain},
	}}
}

// witness is a looker at a tree, with a tracker and a clock.
type witness struct {
	*Looker
	t       *testing.T
	tracker *isolation.Tracker
	now     time.Time
}

func watch(t *testing.T, tree *proctest.Tree, dir Directory) *witness {
	t.Helper()
	fs, err := procns.Open(tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	return &witness{
		Looker: NewLooker(fs, dir, LookerOptions{SelfNamespace: "bulkhead-system", SelfName: "agent"}),
		t:      t, tracker: isolation.NewTracker(nil), now: start,
	}
}

// look takes a look some time after the last.
func (w *witness) look(later time.Duration) isolation.Observation {
	w.t.Helper()
	w.now = w.now.Add(later)
	o, err := w.Observe(w.tracker, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// settled takes the two looks that confirm.
func (w *witness) settled() isolation.Observation {
	w.t.Helper()
	w.look(0)
	return w.look(2 * time.Second)
}

// containers are the processes of a look by container: by name, else by the first digit of the ID.
func containers(o isolation.Observation) map[string][]int {
	out := make(map[string][]int)
	for i := range o.Containers {
		c := &o.Containers[i]
		name := c.Name
		switch {
		case c.Sandbox:
			name = "sandbox"
		case name == "" && strings.HasPrefix(c.ID, strayPrefix):
			name = "stray"
		case name == "":
			name = c.ID[:1]
		}
		pids := []int{}
		for j := range c.Processes {
			pids = append(pids, c.Processes[j].PID)
		}
		out[c.Pod.Name+"/"+name] = pids
	}
	return out
}

// told are findings in short.
func told(o isolation.Observation) []string {
	var out []string
	for i := range o.Findings {
		f := &o.Findings[i]
		out = append(out, strings.TrimSuffix(string(f.Kind)+" "+f.Pod.String()+" "+f.Axis, " "))
	}
	return out
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALookSeesContainers(t *testing.T) {
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	tree.Add(
		proctest.Process{PID: 50, PPID: 2, Comm: "kworker", Kernel: true, NS: proctest.Node, Cgroup: inApp},
		proctest.Process{PID: 60, PPID: 1, Comm: "sshd", Cgroup: "0::/system.slice/ssh.service", NS: proctest.Node},
		proctest.Process{PID: 112, PPID: 110, Comm: "dead", State: "Z", Cgroup: inApp, NS: proctest.Pod(1, 1)},
		proctest.Process{PID: 300, PPID: 1, Comm: "nginx", Cgroup: "0::/docker/" + proctest.ID("d"), NS: proctest.Pod(3, 1)},
	)
	w := watch(t, tree, pods{web()})
	o := w.settled()
	same(t, containers(o), map[string][]int{
		"web/sandbox": {100}, "web/app": {110, 111}, "/d": {300},
	})
	same(t, told(o), []string(nil))
	if o.Pending {
		t.Error("something is pending, though nothing is suspicious")
	}
	want := plain
	want[isolation.Cgroup], want[isolation.Time] = isolation.Container, isolation.Host
	same(t, o.Pods, []isolation.ObservedPod{{
		PodRef: isolation.PodRef{UID: uid, Namespace: "shop", Name: "web"}, Levels: want,
	}})
	same(t, w.Stats(), Stats{Processes: 9, Contained: 4, Containers: 3})
	same(t, w.Problems(), []Problem(nil))
}

func TestALookWithoutAnAPI(t *testing.T) {
	for name, dir := range map[string]Directory{"no directory": nil, "an API that did not answer": away{}} {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			tree.Add(theWeb()...)
			w := watch(t, tree, dir)
			w.look(0)
			o := w.look(time.Minute)
			same(t, containers(o), map[string][]int{"/sandbox": {100}, "/a": {110, 111}})
			same(t, told(o), []string(nil))
		})
	}
}

func TestWhoseAProcessIs(t *testing.T) {
	host := proctest.Pod(2, 1).With(proctest.PID, proctest.Node[proctest.PID])
	tests := map[string]struct {
		add  []proctest.Process
		want map[string][]int
	}{
		"it moved to the root cgroup: its pid namespace tells": {
			add:  []proctest.Process{{PID: 120, PPID: 110, Cgroup: "0::/", NS: proctest.Pod(1, 1)}},
			want: map[string][]int{"web/app": {110, 111, 120}},
		},
		"it moved to another pod's cgroup, whose processes cannot be in its pid namespace": {
			add: append(theOther(),
				proctest.Process{PID: 120, PPID: 110, Cgroup: inOther, NS: proctest.Pod(1, 1)}),
			want: map[string][]int{"web/app": {110, 111, 120}, "db/db": {210}},
		},
		"the first process of its container moved to another pod's cgroup": {
			add: append(theOther(),
				proctest.Process{PID: 110, PPID: 1, Cgroup: inOther, NS: proctest.Pod(1, 1)}),
			want: map[string][]int{"web/app": {110, 111}, "db/db": {210}},
		},
		"it came into a container from a pod that shares the node's pid namespace: it is that pod's": {
			add: []proctest.Process{
				{PID: 210, PPID: 1, Cgroup: inOther, NS: host},
				{PID: 220, PPID: 210, Cgroup: inOther, NS: proctest.Pod(1, 1)},
			},
			want: map[string][]int{"web/app": {110, 111}, "db/db": {210, 220}},
		},
		"it made a pid namespace below its own and moved away": {
			add: []proctest.Process{
				{PID: 120, PPID: 110, Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.PID, 0xF1000000)},
				{PID: 121, PPID: 120, Cgroup: "0::/", NS: proctest.Pod(1, 1).With(proctest.PID, 0xF1000000)},
			},
			want: map[string][]int{"web/app": {110, 111, 120, 121}},
		},
		"two containers share a pid namespace: the cgroup tells": {
			add: []proctest.Process{
				{PID: 130, PPID: 1, Cgroup: in(uid, proctest.ID("c")), NS: proctest.Pod(1, 1).With(proctest.Mnt, 0xF1000001)},
			},
			want: map[string][]int{"web/app": {110, 111}, "web/c": {130}},
		},
		"a helper of the runtime in the pod's cgroup": {
			add:  []proctest.Process{{PID: 90, PPID: 1, Comm: "conmon", Cgroup: "0::/kubepods/besteffort/pod" + uid + "/crio-conmon-" + id + ".scope", NS: proctest.Node}},
			want: map[string][]int{"web/app": {110, 111}},
		},
		"somebody started a container in the pod's cgroup": {
			add:  []proctest.Process{{PID: 120, PPID: 90, Cgroup: "0::/kubepods/besteffort/pod" + uid + "/mine", NS: proctest.Pod(9, 9)}},
			want: map[string][]int{"web/app": {110, 111}, "web/stray": {120}},
		},
		"a container's process hides in the pod's cgroup": {
			add: []proctest.Process{
				{PID: 120, PPID: 110, Cgroup: inApp, NS: proctest.Node},
				{PID: 121, PPID: 120, Cgroup: "0::/kubepods/besteffort/pod" + uid + "/hideout", NS: proctest.Node},
			},
			want: map[string][]int{"web/app": {110, 111, 120}, "web/stray": {121}},
		},
		"a container's process with its pid namespace hides in the pod's cgroup": {
			add:  []proctest.Process{{PID: 121, PPID: 1, Cgroup: "0::/kubepods/besteffort/pod" + uid + "/hideout", NS: proctest.Pod(1, 1)}},
			want: map[string][]int{"web/app": {110, 111, 121}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			tree.Add(theWeb()...)
			w := watch(t, tree, pods{web(), other()})
			w.look(0)
			tree.Add(test.add...)
			got := containers(w.look(time.Second))
			for name, pids := range got {
				if strings.HasSuffix(name, "sandbox") || name == "db/db" && len(pids) == 0 {
					delete(got, name)
				}
			}
			same(t, got, test.want)
		})
	}
}

func TestProcessesThatAreReadThroughAThread(t *testing.T) {
	tests := map[string]struct {
		cgroup string // of the first thread, which has ended
		want   []int
	}{
		"on cgroup v2 the first thread tells where it was":  {inApp, []int{110, 111, 120}},
		"on cgroup v1 it seems to be in the root":           {"2:pids:/\n1:name=systemd:/", []int{110, 111, 120}},
		"a process of the node that is there stays outside": {"2:pids:/system.slice\n1:name=systemd:/", []int{110, 111}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			tree.Add(theWeb()...)
			tree.Add(proctest.Process{
				PID: 120, PPID: 110, Comm: "gone", State: "Z", Cgroup: test.cgroup,
				NS: proctest.Namespaces{proctest.PID: proctest.Node[0], proctest.User: proctest.Node[proctest.User]},
				Threads: []proctest.Process{
					{PID: 121, State: "Z", Cgroup: test.cgroup},
					{PID: 122, Cgroup: inApp, NS: proctest.Node, Start: 1300},
				},
			})
			w := watch(t, tree, pods{web()})
			o := w.settled()
			got := containers(o)
			same(t, got["web/app"], test.want)
			if len(test.want) < 3 {
				return
			}
			var mount *isolation.Finding
			for i := range o.Findings {
				if o.Findings[i].Axis == "mount" {
					mount = &o.Findings[i]
				}
			}
			if mount == nil || mount.Kind != v1alpha1.Escape || mount.Evidence.TID != 122 || mount.Evidence.PID != 120 {
				t.Errorf("no escape of the thread that lives: %+v", mount)
			}
		})
	}
}

func TestAnEscapedThreadBesideOthersOfALeaderThatEnded(t *testing.T) {
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	here := proctest.Pod(1, 1)
	tree.Add(proctest.Process{
		PID: 120, PPID: 110, State: "Z", Cgroup: inApp, NS: proctest.Namespaces{proctest.PID: here[0], proctest.User: here[proctest.User]},
		Threads: []proctest.Process{{PID: 121, NS: here}, {PID: 122, NS: here.With(proctest.IPC, proctest.Node[proctest.IPC])}},
	})
	o := watch(t, tree, pods{web()}).settled()
	same(t, told(o), []string{"Escape shop/web ipc"})
	same(t, o.Findings[0].Evidence.TID, 122)
}

func TestAThreadThatLeftItsProcess(t *testing.T) {
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	here := proctest.Pod(1, 1)
	tree.Add(proctest.Process{PID: 111, PPID: 110, Comm: "worker", Cgroup: inApp, NS: here, Threads: []proctest.Process{
		{PID: 112, NS: here}, {PID: 113, NS: here.With(proctest.Net, proctest.Node[proctest.Net]), Start: 2000},
	}})
	w := watch(t, tree, pods{web()})
	o := w.settled()
	same(t, told(o), []string{"Escape shop/web network"})
	same(t, o.Findings[0].Evidence, &isolation.Evidence{
		PID: 111, TID: 113, StartTime: 2000, Command: "sleep", Inode: proctest.Node[proctest.Net],
		Owner: "node", OwnInode: here[proctest.Net], Processes: 1,
	})
}

func TestThreadsAreReadInTurn(t *testing.T) {
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	here := proctest.Pod(1, 1)
	for pid := 120; pid < 130; pid++ {
		p := proctest.Process{PID: pid, PPID: 110, Cgroup: inApp, NS: here}
		for i := range 3 {
			p.Threads = append(p.Threads, proctest.Process{PID: 1000 + 10*pid + i, NS: here})
		}
		if pid == 129 {
			p.Threads[2].NS[proctest.UTS] = proctest.Node[proctest.UTS]
		}
		tree.Add(p)
	}
	w := watch(t, tree, pods{web()})
	w.opts.Threads = 12 // three processes of four
	for looks := 1; ; looks++ {
		o := w.look(time.Second)
		if len(o.Findings) > 0 {
			same(t, told(o), []string{"Escape shop/web uts"})
			break
		}
		if looks > 6 {
			t.Fatal("the last process's threads were not read, or only once")
		}
	}
}

func TestAnUnreadableProcessIsUnknown(t *testing.T) {
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	tree.Add(proctest.Process{PID: 111, PPID: 110, Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.Net, 0)})
	w := watch(t, tree, pods{web()})
	o := w.settled()
	same(t, told(o), []string{"Unverified shop/web network"})
	same(t, o.Pods[0].Levels[isolation.Network], isolation.Unknown)
	same(t, o.Pods[0].Levels[isolation.Mount], isolation.Container)
	same(t, w.Stats().Unreadable, 1)
}

func TestANodeWhoseNamespacesAreNotKnown(t *testing.T) {
	tree := proctest.New(t)
	tree.Remove(2)
	tree.Add(proctest.Process{PID: 1, Comm: "init", Cgroup: "0::/init.scope"})
	tree.Add(theWeb()...)
	w := watch(t, tree, pods{web()})
	o := w.settled()
	levels := isolation.Fill(isolation.Unknown)
	levels[isolation.User], levels[isolation.Time] = isolation.Host, isolation.Host
	same(t, o.Pods[0].Levels, levels)
	if p := w.Problems(); len(p) != 1 || p[0].Reason != ReasonNamespacesUnknown || !strings.Contains(p[0].Message, "pid, network") {
		t.Errorf("problems: %+v", p)
	}
}

func TestAKernelWithoutTimeNamespacesSharesTime(t *testing.T) {
	tree := proctest.New(t)
	without := func(p proctest.Process) proctest.Process {
		p.NS[proctest.Time] = proctest.Absent
		return p
	}
	tree.Add(without(proctest.Process{PID: 1, NS: proctest.Node}), without(proctest.Process{PID: 2, NS: proctest.Node, Kernel: true}))
	for _, p := range theWeb() {
		tree.Add(without(p))
	}
	w := watch(t, tree, pods{web()})
	o := w.settled()
	same(t, o.Pods[0].Levels[isolation.Time], isolation.Host)
	same(t, told(o), []string(nil))
	same(t, w.Problems(), []Problem(nil))
}

func TestANestedNode(t *testing.T) {
	tree := proctest.New(t)
	tree.Remove(2)
	node := proctest.Namespaces{0xF2000000, 0xF2000001, 0xF2000002, 0xF2000003, 0xF2000004, proctest.Node[5], 0xF2000006, proctest.Node[7]}
	tree.Add(proctest.Process{PID: 1, NS: node, Cgroup: "0::/init.scope"})
	tree.Add(theWeb()...)
	tree.Add(proctest.Process{PID: 111, PPID: 110, Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.UTS, proctest.Node[proctest.UTS])})
	tree.Add(proctest.Process{PID: 112, PPID: 110, Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.Net, node[proctest.Net])})
	o := watch(t, tree, pods{web()}).settled()
	t.Run("is left by a process in the node's namespace, and by one in the kernel's initial one", func(t *testing.T) {
		same(t, told(o), []string{"Escape shop/web network", "Escape shop/web uts"})
	})
}

func TestAUserNamespaceThatMapsTheNodesRoot(t *testing.T) {
	for name, test := range map[string]struct {
		uidMap string
		want   isolation.Level
	}{
		"maps it":         {"         0          0      65536\n", isolation.Host},
		"does not map it": {"         0     100000      65536\n", isolation.Pod},
	} {
		t.Run(name, func(t *testing.T) {
			tree := proctest.New(t)
			for _, p := range theWeb() {
				p.NS[proctest.User], p.UIDMap = 0xF3000000, test.uidMap
				tree.Add(p)
			}
			o := watch(t, tree, pods{web()}).settled()
			same(t, o.Pods[0].Levels[isolation.User], test.want)
		})
	}
}
