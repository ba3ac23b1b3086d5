// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// world is a node with its pods, of which looks are taken.
type world struct {
	t       testing.TB
	tracker *isolation.Tracker
	now     time.Time
	// blind is why the node's own namespaces are not known, per axis.
	blind      [isolation.NumAxes]string
	init       *process
	containers []*container
	outside    []*process
	numbers    uint64 // of processes, and of namespaces
	// outsideRead is how often the processes outside were asked for.
	outsideRead int
}

// pod is a pod of the world.
type pod struct {
	*world
	ref     isolation.PodRef
	sandbox *container
}

type container struct {
	isolation.ContainerLook
	world *world
	pod   *pod // nil for a container in no pod
	procs []*process
}

type process struct {
	isolation.Process
	world *world
	home  *container // nil outside of containers
}

// promised is what the spec of a usual pod claims.
var promised = isolation.Vector{
	isolation.PID: isolation.Container, isolation.Network: isolation.Pod, isolation.IPC: isolation.Pod,
	isolation.UTS: isolation.Pod, isolation.Mount: isolation.Container, isolation.User: isolation.Host,
}

// clean is what such a pod has.
var clean = isolation.Vector{
	isolation.PID: isolation.Container, isolation.Network: isolation.Pod, isolation.IPC: isolation.Pod,
	isolation.UTS: isolation.Pod, isolation.Mount: isolation.Container, isolation.User: isolation.Host,
	isolation.Cgroup: isolation.Container, isolation.Time: isolation.Host,
}

// but is v with another level on one axis.
func but(v isolation.Vector, a isolation.Axis, l isolation.Level) isolation.Vector {
	v[a] = l
	return v
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, tracker: isolation.NewTracker(nil), now: noon}
	w.init = &process{world: w, Process: isolation.Process{PID: 1, StartTime: 1, Command: "systemd"}}
	w.init.unshare(isolation.Axes[:]...)
	w.numbers += 100
	return w
}

func (w *world) number() uint64 {
	w.numbers++
	return w.numbers
}

// pod makes a pod with a sandbox that holds its network, ipc and uts namespaces.
func (w *world) pod(name string) *pod {
	p := w.podWithoutSandbox(name)
	p.sandbox = &container{world: p.world, pod: p, ContainerLook: isolation.ContainerLook{
		ID: name + "-sandbox", Pod: p.ref, Sandbox: true,
	}}
	w.containers = append(w.containers, p.sandbox)
	pause := p.sandbox.start("pause")
	pause.unshare(isolation.PID, isolation.Network, isolation.IPC, isolation.UTS, isolation.Mount, isolation.Cgroup)
	return p
}

func (w *world) podWithoutSandbox(name string) *pod {
	return &pod{world: w, ref: isolation.PodRef{UID: "uid-" + name, Namespace: "ns", Name: name}}
}

// run starts a container as its spec promises: in the namespaces of its sandbox and its own.
func (p *pod) run(name string) *container {
	c := p.add(name)
	first := c.start(name)
	if p.sandbox != nil {
		first.enter(p.sandbox.procs[0], isolation.Network, isolation.IPC, isolation.UTS)
	} else {
		first.unshare(isolation.Network, isolation.IPC, isolation.UTS)
	}
	first.unshare(isolation.PID, isolation.Mount, isolation.Cgroup)
	return c
}

// add adds a container without processes.
func (p *pod) add(name string) *container {
	c := &container{world: p.world, pod: p, ContainerLook: isolation.ContainerLook{
		ID: fmt.Sprintf("%s-%s-%d", p.ref.Name, name, p.number()), Name: name, Pod: p.ref, Claim: promised, Expected: true,
	}}
	p.containers = append(p.containers, c)
	return c
}

// standalone runs a container that is in no pod, as docker does: nothing is promised.
func (w *world) standalone(id string) *container {
	c := &container{world: w, ContainerLook: isolation.ContainerLook{ID: id}}
	w.containers = append(w.containers, c)
	c.start(id).unshare(isolation.PID, isolation.Network, isolation.IPC, isolation.UTS, isolation.Mount, isolation.Cgroup)
	return c
}

// start starts a process whose parent is outside of the container, in the node's namespaces: its
// first, or what runc's init is for a moment when it brings in another.
func (c *container) start(command string) *process {
	w := c.world
	p := &process{world: w, home: c, Process: w.init.Process}
	p.PID, p.PPID, p.StartTime, p.Command = int(w.number()), 1, w.numbers, command
	c.procs = append(c.procs, p)
	return p
}

// exec brings a process into the container, as `kubectl exec` does.
func (c *container) exec(command string) *process {
	p := c.start(command)
	p.enter(c.procs[0], isolation.Axes[:]...)
	return p
}

func (c *container) first() *process { return c.procs[0] }

// gone ends the container.
func (c *container) gone() {
	w := c.world
	w.containers = slices.DeleteFunc(w.containers, func(o *container) bool { return o == c })
}

// gone ends the pod.
func (p *pod) gone() {
	p.containers = slices.DeleteFunc(p.containers, func(c *container) bool { return c.pod == p })
}

// daemon starts a process outside of containers.
func (w *world) daemon(command string) *process {
	p := &process{world: w, Process: w.init.Process}
	p.PID, p.PPID, p.StartTime, p.Command = int(w.number()), 1, w.numbers, command
	w.outside = append(w.outside, p)
	return p
}

// fork starts a child, which is where its parent is.
func (p *process) fork() *process {
	child := *p
	child.PPID = p.PID
	child.PID, child.StartTime = int(p.world.number()), p.world.numbers
	if p.home != nil {
		p.home.procs = append(p.home.procs, &child)
	}
	return &child
}

// end ends the process.
func (p *process) end() {
	p.home.procs = slices.DeleteFunc(p.home.procs, func(o *process) bool { return o == p })
}

// enter moves the process into another's namespaces, as nsenter does.
func (p *process) enter(other *process, axes ...isolation.Axis) {
	for _, a := range axes {
		p.Namespaces[a] = other.Namespaces[a]
	}
}

// unshare moves the process into new namespaces.
func (p *process) unshare(axes ...isolation.Axis) {
	for _, a := range axes {
		p.Namespaces[a] = isolation.Namespace{ID: isolation.NamespaceID{Dev: 4, Inode: 4026531000 + p.world.number()}}
	}
}

// hide makes the process's namespaces unreadable.
func (p *process) hide(reason string, axes ...isolation.Axis) {
	for _, a := range axes {
		p.Namespaces[a] = isolation.Namespace{Reason: reason}
	}
}

// look is what a look shows now.
func (w *world) look(outside bool) *isolation.Look {
	l := &isolation.Look{At: w.now, OutsideRead: outside}
	for _, a := range isolation.Axes {
		if l.Node[a].Reason = w.blind[a]; w.blind[a] == "" {
			l.Node[a].IDs = []isolation.NamespaceID{w.init.Namespaces[a].ID}
		}
	}
	for _, c := range w.containers {
		seen := c.ContainerLook
		for _, p := range c.procs {
			seen.Processes = append(seen.Processes, p.Process)
		}
		slices.SortFunc(seen.Processes, func(x, y isolation.Process) int { return x.PID - y.PID })
		l.Containers = append(l.Containers, seen)
	}
	if outside {
		for _, p := range append([]*process{w.init}, w.outside...) {
			l.Outside = append(l.Outside, p.Process)
		}
	}
	return l
}

// observe looks as the agent does: again with the processes outside if a namespace is not explained.
func (w *world) observe() isolation.Observation {
	w.t.Helper()
	o, err := w.tracker.Observe(w.look(false))
	if errors.Is(err, isolation.ErrUnexplained) {
		w.outsideRead++
		o, err = w.tracker.Observe(w.look(true))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// later looks again after a while.
func (w *world) later(d time.Duration) isolation.Observation {
	w.t.Helper()
	w.now = w.now.Add(d)
	return w.observe()
}

// confirmed looks twice, far enough apart.
func (w *world) confirmed() isolation.Observation {
	w.t.Helper()
	w.observe()
	return w.later(isolation.ConfirmAfter)
}

// restart forgets everything but the findings, as an agent that is restarted.
func (w *world) restart(known []isolation.Finding) {
	w.tracker = isolation.NewTracker(known)
}

// told are the findings in short: kind, axis, pod or container, and container.
func told(o isolation.Observation) []string {
	var all []string
	for i := range o.Findings {
		f := &o.Findings[i]
		s := string(f.Kind)
		if f.Axis != "" {
			s += " " + f.Axis
		}
		s += " " + f.Pod.Name
		if f.Container != "" {
			s += "/" + f.Container
		}
		all = append(all, s)
	}
	return all
}

// expectTold fails unless these are the findings, in this order.
func expectTold(t *testing.T, o isolation.Observation, want ...string) {
	t.Helper()
	if got := told(o); !slices.Equal(got, want) {
		t.Errorf("findings:\n  %q\nwant:\n  %q", got, want)
		for i := range o.Findings {
			t.Logf("%s: %s", got[i], o.Findings[i].Message)
		}
	}
}

// levelsOf are the levels of a container.
func levelsOf(t *testing.T, o isolation.Observation, c *container) isolation.Vector {
	t.Helper()
	for i := range o.Containers {
		if o.Containers[i].ID == c.ID {
			return o.Containers[i].Levels
		}
	}
	t.Fatalf("container %s was not observed", c.ID)
	return isolation.Vector{}
}

// expectLevels fails unless these are the levels of the container.
func expectLevels(t *testing.T, o isolation.Observation, c *container, want isolation.Vector) {
	t.Helper()
	got := levelsOf(t, o, c)
	for _, a := range isolation.Axes {
		if got[a] != want[a] {
			t.Errorf("%s of %s is %q, want %q", a, c.ID, got[a], want[a])
		}
	}
}

// podLevels are the levels of a pod; ok is false if nothing of it was seen.
func podLevels(o isolation.Observation, p *pod) (v isolation.Vector, ok bool) {
	for i := range o.Pods {
		if o.Pods[i].UID == p.ref.UID {
			return o.Pods[i].Levels, true
		}
	}
	return v, false
}
