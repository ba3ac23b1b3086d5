// SPDX-License-Identifier: Apache-2.0

// Package bench measures whole parts on a real kernel.
package bench

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

// A node: so many processes, of which so many are in the containers of so many pods, beside those
// of the machine that runs the benchmark.
const (
	processes   = 5000
	contained   = 500
	pods        = 250
	perPod      = contained / pods
	benchGroups = "bulkhead-bench"
)

// A look at the default interval, and as many of them as are between two in which every process is asked for its
// cgroups.
const (
	interval = 10 * time.Second
	round    = 6
)

// spread is how the agent's looks differ from the interval, by up to a fifth and none in the mean: at no multiple of a minute do
// two things happen in one look because they happened in one before.
var spread = [...]time.Duration{2 * time.Second, -time.Second, time.Second, -2 * time.Second, 1500 * time.Millisecond, -1500 * time.Millisecond, 0}

// BenchmarkLook is one look of the agent, the mean of whole rounds. What it costs over BenchmarkBareLook is the
// agent's own work: parsing, attribution, ownership.
func BenchmarkLook(b *testing.B) {
	n := populate(b)
	tree, err := procns.Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tree.Close() }()
	looker := agent.NewLooker(tree, n.directory(), agent.LookerOptions{})
	now := time.Now()
	var look *isolation.Look
	take := func() {
		now = now.Add(interval)
		if look, err = looker.Look(now, false); err != nil {
			b.Fatal(err)
		}
	}
	for range round {
		take() // until then everybody is new
	}
	defer perProcess(b)()
	for b.Loop() {
		take()
	}
	n.check(b, look)
}

// BenchmarkLookAndObserve is a look with the judgement of what was seen.
func BenchmarkLookAndObserve(b *testing.B) {
	n := populate(b)
	tree, err := procns.Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tree.Close() }()
	looker := agent.NewLooker(tree, n.directory(), agent.LookerOptions{})
	tracker, now, looks := isolation.NewTracker(nil), time.Now(), 0
	take := func() {
		now = now.Add(interval + spread[looks%len(spread)])
		looks++
		if _, err := looker.Observe(tracker, now); err != nil {
			b.Fatal(err)
		}
	}
	// The first look also reads the processes outside of containers, and everybody is new.
	for range round + 1 {
		take()
	}
	defer perProcess(b)()
	for b.Loop() {
		take()
	}
}

// BenchmarkWholeLook is a look that also reads the processes outside of containers, as happens once a minute.
func BenchmarkWholeLook(b *testing.B) {
	n := populate(b)
	tree, err := procns.Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tree.Close() }()
	looker := agent.NewLooker(tree, n.directory(), agent.LookerOptions{})
	now := time.Now()
	var look *isolation.Look
	defer perProcess(b)()
	for b.Loop() {
		now = now.Add(interval)
		if look, err = looker.Look(now, true); err != nil {
			b.Fatal(err)
		}
	}
	n.check(b, look)
}

// BenchmarkCloseLook is a look in which every container is looked at closely, as happens once a minute:
// mounts, privileges, working directories, roots and open files. The anonymous memory is that of the benchmark's
// process, which has neither a client of the API nor a report, and the children's names instead.
func BenchmarkCloseLook(b *testing.B) {
	n := populate(b)
	tree, err := procns.Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tree.Close() }()
	looker := agent.NewLooker(tree, n.directory(), agent.LookerOptions{Inspect: time.Second})
	tracker, now := isolation.NewTracker(nil), time.Now()
	defer perProcess(b)()
	for b.Loop() {
		now = now.Add(openings.Every)
		if _, err := looker.Observe(tracker, now); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range looker.Problems() {
		if p.Reason == agent.ReasonMountsUnread {
			b.Fatal(p.Message)
		}
	}
	memory, err := process.MemoryOf(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(memory.Anonymous)/(1<<20), "anon-MiB")
}

// BenchmarkBareLook makes the system calls that a look cannot do without, on paths that are ready,
// and looks at nothing that they give: list the processes; the pid namespace of each, and in one look of a round the
// cgroup as well; of those in pods cgroup, stat and all links.
func BenchmarkBareLook(b *testing.B) {
	n := populate(b)
	root, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Close(root) }()
	bare := newBare(root)
	defer perProcess(b)()
	for i := 0; b.Loop(); i++ {
		bare.look(n.inPod, i%round == 0)
	}
}

// perProcess begins to measure, and what it returns ends that: the time and the time of the
// processors, which tells more on a machine that does other things too.
func perProcess(b *testing.B) func() {
	b.ReportAllocs()
	before := processors(b)
	return func() {
		share := float64(b.N) * processes
		b.ReportMetric(float64(b.Elapsed().Microseconds())/share, "µs/process")
		b.ReportMetric(float64((processors(b)-before).Microseconds())/share, "cpu-µs/process")
		b.ReportMetric(float64((processors(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/look")
	}
}

// processors is the time that processors have spent on the benchmark, for itself and in the kernel.
func processors(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// directory is what the API would tell of the node.
func (n *node) directory() agent.Directory {
	var d directory
	for p := range pods {
		d = append(d, agent.Pod{
			UID: podUID(p), Namespace: "bench", Name: "pod-" + strconv.Itoa(p),
			Containers: []agent.Container{{Name: "app", ID: containerID(p), Running: true}},
		})
	}
	return d
}

type directory []agent.Pod

func (d directory) Pods() ([]agent.Pod, bool) { return d, true }

// check sees to it that the look saw what there is: a look that misses is quick.
func (n *node) check(b *testing.B, look *isolation.Look) {
	b.Helper()
	seen, named := 0, 0
	for i := range look.Containers {
		c := &look.Containers[i]
		if c.Pod.Namespace != "bench" {
			continue
		}
		named++
		seen += len(c.Processes)
		for j := range c.Processes {
			for a, ns := range c.Processes[j].Namespaces {
				if ns.Reason != "" {
					b.Fatalf("axis %v of process %d: %s", isolation.Axis(a), c.Processes[j].PID, ns.Reason)
				}
			}
		}
	}
	if seen != contained || named != pods {
		b.Fatalf("saw %d processes in %d containers, there are %d in %d", seen, named, contained, pods)
	}
}
