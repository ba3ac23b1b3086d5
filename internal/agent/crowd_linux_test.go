// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// crowded adds so many processes that are where the process like is, numbered from the first on. Of each there is what a look
// reads of it: links to the same files.
func crowded(t *testing.T, tree *proctest.Tree, like, first, count int) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	const perFile = 10_000 // a file system may count a file's names in 16 bits
	var files map[string]string
	for i := range count {
		if i%perFile == 0 {
			files = make(map[string]string)
			for _, name := range []string{"cgroup", "stat"} {
				text, err := os.ReadFile(filepath.Join(tree.Root, strconv.Itoa(like), name))
				must(err)
				files[name] = filepath.Join(tree.Root, name+"-"+strconv.Itoa(first+i))
				must(os.WriteFile(files[name], text, 0o600))
			}
		}
		dir := filepath.Join(tree.Root, strconv.Itoa(first+i))
		must(os.Mkdir(dir, 0o700))
		must(os.Symlink("../"+strconv.Itoa(like)+"/ns", filepath.Join(dir, "ns")))
		for name, file := range files {
			must(os.Link(file, filepath.Join(dir, name)))
		}
	}
}

// A container may have as many processes as it likes. Of those that are where others are only the numbers are kept, and they hide neither
// who is elsewhere nor the container's first process, whose number may be higher than theirs.
func TestACrowdInAContainer(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("50,000 folders take a while")
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // a tmpfs, where they are made faster
	}
	const crowd, bound = 50_000, 4 << 20 // what is kept of as many as are kept, and a number of each of the others
	tree := proctest.New(t)
	tree.Add(theWeb()...)
	w := watch(t, tree, pods{web()})
	w.settled()
	before := heap()
	// Links to files of one process: all of them have its start, which is later than that of the container's first.
	tree.Add(proctest.Process{PID: 50, PPID: 110, Start: 5000, Comm: "many", Cgroup: inApp, NS: proctest.Pod(1, 1)})
	crowded(t, tree, 50, 1000, crowd)
	tree.Add(proctest.Process{PID: 900_000, PPID: 30_000, Comm: "out", Cgroup: inApp, NS: proctest.Pod(1, 1).With(proctest.Net, proctest.Node[proctest.Net])})
	w.look(2 * time.Second)
	o := w.look(2 * time.Second)
	if used := int64(heap()) - int64(before); used > bound {
		t.Errorf("%d bytes are kept of %d processes, more than %d", used, crowd, bound)
	}
	same(t, told(o), []string{"Escape shop/web network"})
	same(t, o.Findings[0].Evidence.PID, 900_000)
	same(t, o.Findings[0].Evidence.OwnInode, proctest.Pod(1, 1)[proctest.Net])
	same(t, w.Stats().Contained, crowd+5) // 50, 100, 110, 111, and who is out
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Name == "app" {
			same(t, c.Total(), crowd+4)
			same(t, c.First().PID, 110)
			same(t, c.Has(30_000), true) // the parent of who is out, one of the crowd
		}
	}
	same(t, o.Pods[0].Levels[isolation.Mount], isolation.Container)
}

func TestARealCrowd(t *testing.T) {
	const crowd = 2 * maxAlone
	cgroup := cgroupOf(t, proctest.ID("a"))
	// They end with it, for it is the first of its pid namespace.
	first, proceed := shellIn(t, cgroup, &syscall.SysProcAttr{Cloneflags: own},
		"i=0; while [ $i -lt $0 ]; do sleep 1000 & i=$((i+1)); done; echo done; read end", strconv.Itoa(crowd))
	w := realWitness(t)
	w.settled()
	proceed()
	escaped := helper(t, "sleep", 0, cgroup)
	w.look(2 * time.Second)
	o := w.look(2 * time.Second)
	_, findings := ofWeb(o)
	same(t, names(findings), []string{"Escape ipc", "Escape mount", "Escape network", "Escape pid", "Escape uts"})
	if f := findings["Escape network"]; f != nil {
		same(t, f.Evidence.PID, escaped)
	}
	for i := range o.Containers {
		if c := &o.Containers[i]; c.Name == "app" {
			same(t, c.First().PID, first)
			same(t, c.Total(), crowd+2)
			same(t, len(c.Processes), maxAlone+1) // and the one that is elsewhere
		}
	}
}

// heap is what is in use, of what the process allocated.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one only marked for finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A machine has far more processes outside of containers than in them, up to as many as its pid_max. A look goes past them, also the
// first one, which asks whose the namespaces are, and keeps next to nothing of them.
func TestAHundredThousandProcesses(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("100,000 folders take a while")
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // a tmpfs, where they are made faster
	}
	// A number, an inode and a time of each, twice: as of this look and of the last.
	const crowd, perProcess = 100_000, 48
	tree := proctest.New(t)
	tree.Add(append(theWeb(), theOther()...)...)
	tree.Add(proctest.Process{PID: 50, PPID: 1, Cgroup: "0::/system.slice/cron.service", NS: proctest.Node})
	crowded(t, tree, 50, 1000, crowd)
	w := watch(t, tree, pods{web(), other()})
	before := heap()
	w.look(0)
	same(t, w.Stats().Processes, crowd+8)
	o := w.look(2 * time.Second)
	used := int64(heap()) - int64(before)
	runtime.KeepAlive(w)
	if used > crowd*perProcess {
		t.Errorf("%d bytes are kept of %d processes that are in no container", used, crowd)
	}
	same(t, containers(o), map[string][]int{"web/sandbox": {100}, "web/app": {110, 111}, "db/sandbox": {200}, "db/db": {210}})
	same(t, told(o), []string(nil))
}
