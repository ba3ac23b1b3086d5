// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
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

// heap is what is in use, of what the process allocated.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one only marked for finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A machine has far more processes outside of containers than in them, up to as many as its pid_max. A look goes past them, also the
// first one, which asks whose the namespaces are, and keeps nothing of them.
func TestAHundredThousandProcesses(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("100,000 folders take a while")
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // a tmpfs, where they are made faster
	}
	const crowd, perProcess = 100_000, 24
	tree := proctest.New(t)
	tree.Add(append(theWeb(), theOther()...)...)
	tree.Add(proctest.Process{PID: 50, PPID: 1, Cgroup: "0::/system.slice/cron.service", NS: proctest.Node})
	crowded(t, tree, 50, 1000, crowd)
	w := watch(t, tree, pods{web(), other()})
	before := heap()
	w.look(0)
	same(t, w.Stats().Processes, crowd+8)
	o := w.look(2 * time.Second)
	if used := int64(heap()) - int64(before); used > crowd*perProcess {
		t.Errorf("%d bytes are kept of %d processes that are in no container", used, crowd)
	}
	same(t, containers(o), map[string][]int{"web/sandbox": {100}, "web/app": {110, 111}, "db/sandbox": {200}, "db/db": {210}})
	same(t, told(o), []string(nil))
}
