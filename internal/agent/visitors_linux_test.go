// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// What a visitor is told to do by a line on its standard input.
const (
	// joinFirst and joinAnother: the first thread, or another one, goes into the mount namespace of the process whose
	// number follows, as runc does to open what is to be mounted.
	joinFirst, joinAnother = "first", "another"
	// makeFirst: the first thread makes a mount namespace and starts a process in it, in its own otherwise.
	makeFirst = "make"
)

// visitor is a process that does what it is told, in one of its threads, and stays as it is then.
func visitor() {
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	in.Scan()
	what, of, _ := strings.Cut(in.Text(), " ")
	answers := make(chan string)
	go func() { fmt.Println(<-answers) }()
	do := func() string {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err.Error()
		}
		if what == makeFirst {
			return begotten()
		}
		ns, err := os.Open("/proc/" + of + "/ns/mnt")
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
		}
		if err != nil {
			return err.Error()
		}
		return of
	}
	if what == joinAnother {
		go func() {
			answers <- do()
			select {}
		}()
	} else {
		answers <- do()
	}
	in.Scan() // until the test ends
}

// begotten starts a process in a new mount namespace, and in others of its own, and tells its number.
func begotten() string {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err.Error()
	}
	child := exec.Command("/proc/self/exe", "-test.run=^$")
	child.Env = []string{helperEnv + "=sleep"}
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: own &^ unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if _, err := child.StdinPipe(); err != nil {
		return err.Error()
	}
	if err := child.Start(); err != nil {
		return err.Error()
	}
	return strconv.Itoa(child.Process.Pid)
}

// visits starts a visitor, in that cgroup if there is one. tell tells it what to do and gives its answer; end ends it.
func visits(t *testing.T, cgroup string) (tell func(what string) string, end func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{helperEnv + "=visitor"}
	in, out := begin(t, cmd)
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = in.Close()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the visitor did not start")
	}
	if cgroup != "" {
		move(t, cmd.Process.Pid, cgroup)
	}
	return func(what string) string {
		t.Helper()
		if _, err := io.WriteString(in, what+"\n"); err != nil || !lines.Scan() {
			t.Fatalf("the visitor does not answer: %v", err)
		}
		return lines.Text()
	}, end
}

// mountOfWeb is the level of the test's container on the axis mount.
func mountOfWeb(t *testing.T, o isolation.Observation) isolation.Level {
	t.Helper()
	for i := range o.Containers {
		if o.Containers[i].Name == "app" {
			return o.Containers[i].Levels[isolation.Mount]
		}
	}
	t.Fatal("the container was not seen")
	return isolation.None
}

// While runc creates a container a thread of it is in the container's mount namespace, and Go takes the first one for it as
// well as any: then the process seems to be there. It began before the container did, and is not its owner for that.
func TestARealThreadThatVisitsWhileAContainerStarts(t *testing.T) {
	for _, c := range []struct{ name, which, cgroup string }{
		{"by its first thread", joinFirst, ""},
		{"by another thread", joinAnother, ""},
		// CRI-O starts conmon there, which starts runc.
		{"by its first thread, from the pod's cgroup", joinFirst, "crio-conmon-" + proctest.ID("a")},
		{"by another thread, from the pod's cgroup", joinAnother, "crio-conmon-" + proctest.ID("a")},
	} {
		t.Run(c.name, func(t *testing.T) {
			cgroup := cgroupOf(t, proctest.ID("a"))
			from := c.cgroup
			if from != "" {
				from = cgroupOf(t, from)
			}
			tell, end := visits(t, from)
			first := helper(t, "sleep", own, cgroup)
			same(t, tell(c.which+" "+strconv.Itoa(first)), strconv.Itoa(first))
			w := realWitness(t)
			for range 4 {
				o := w.look(2 * time.Second)
				_, findings := ofWeb(o)
				same(t, names(findings), []string(nil))
				same(t, mountOfWeb(t, o), isolation.Unknown)
			}
			_, findings := ofWeb(w.look(isolation.VisitedAfter))
			same(t, names(findings), []string{"Unverified mount"})
			end()
			o := w.settled()
			_, findings = ofWeb(o)
			same(t, names(findings), []string(nil))
			same(t, mountOfWeb(t, o), isolation.Container)
		})
	}
}

func TestARealThreadThatVisitsLater(t *testing.T) {
	tell, _ := visits(t, "")
	first := helper(t, "sleep", own, cgroupOf(t, proctest.ID("a")))
	w := realWitness(t)
	w.settled()
	same(t, tell(joinFirst+" "+strconv.Itoa(first)), strconv.Itoa(first))
	w.swept = time.Time{} // the next look is at everybody
	o := w.settled()
	_, findings := ofWeb(o)
	same(t, names(findings), []string(nil))
	same(t, mountOfWeb(t, o), isolation.Container)
}

// A namespace that a thread of the node made for itself is not the container's that was put into it.
func TestARealContainerInTheNamespaceOfAThread(t *testing.T) {
	cgroup := cgroupOf(t, proctest.ID("a"))
	tell, _ := visits(t, "")
	answer := tell(makeFirst)
	pid, err := strconv.Atoi(answer)
	if err != nil {
		t.Fatal(answer)
	}
	move(t, pid, cgroup)
	w := realWitness(t)
	o := w.settled()
	pids, findings := ofWeb(o)
	same(t, pids, []int{pid})
	same(t, names(findings), []string(nil))
	same(t, mountOfWeb(t, o), isolation.Unknown)
	_, findings = ofWeb(w.look(isolation.VisitedAfter))
	same(t, names(findings), []string{"Unverified mount"})
}

// A service with a mount namespace of its own owns it, also over who outlives it in there.
func TestARealContainerInTheNamespaceOfAService(t *testing.T) {
	cgroup := cgroupOf(t, proctest.ID("a"))
	service := exec.Command("unshare", "--mount", "sh", "-c", "sleep 1000 & echo $!; read end")
	in, out := begin(t, service)
	end := func() {
		_ = in.Close()
		_ = service.Wait()
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the service did not start")
	}
	pid, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	move(t, pid, cgroup)
	w := realWitness(t)
	_, findings := ofWeb(w.settled())
	if f := findings["Drift mount"]; f == nil || !strings.Contains(f.Message, fmt.Sprintf(`in the mount namespace of the node's process %d ("sh")`, service.Process.Pid)) {
		t.Errorf("%v", findings)
	}
	end()
	o := w.settled()
	same(t, mountOfWeb(t, o), isolation.Host)
}
