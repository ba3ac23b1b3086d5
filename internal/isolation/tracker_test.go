// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestPodThatIsAsItPromisesHasNoFindings(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.run("app")
	app.first().fork()
	for range 3 {
		o := w.later(time.Second)
		expectTold(t, o)
		expectLevels(t, o, app, clean)
		if got, ok := podLevels(o, web); !ok || got != clean {
			t.Errorf("pod: %v, %v", got, ok)
		}
		if o.Pending {
			t.Error("waits for a second look")
		}
	}
}

func TestPodThatAsksForTheNodesNamespacesHasNoFindings(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.run("app")
	app.Claim = isolation.Fill(isolation.Host)
	app.first().enter(w.init, isolation.Axes[:]...)
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, isolation.Fill(isolation.Host))
}

func TestProcessNamespaceThatIsSharedWithinThePodIsPod(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	for _, name := range []string{"app", "proxy"} {
		c := web.run(name)
		c.Claim = but(promised, isolation.PID, isolation.Pod)
		c.first().enter(web.sandbox.first(), isolation.PID)
	}
	o := w.confirmed()
	expectTold(t, o)
	if got, _ := podLevels(o, web); got != but(clean, isolation.PID, isolation.Pod) {
		t.Errorf("pod: %v", got)
	}
}

func TestDebugContainerSharesTheProcessNamespaceOfItsTarget(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.run("app")
	debug := web.run("debug")
	debug.first().enter(app.first(), isolation.PID)
	for _, c := range []*container{app, debug} {
		c.Claim = but(promised, isolation.PID, isolation.Pod)
	}
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, debug, but(clean, isolation.PID, isolation.Pod))
	if got, _ := podLevels(o, web); got != but(clean, isolation.PID, isolation.Pod) {
		t.Errorf("pod: %v", got)
	}
}

func TestDriftIsFoundByTheSecondLook(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().enter(w.init, isolation.Network)

	o := w.observe()
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Unknown))
	if !o.Pending {
		t.Error("does not ask for a second look")
	}

	o = w.later(isolation.ConfirmAfter - time.Millisecond)
	expectTold(t, o)

	o = w.later(time.Millisecond)
	expectTold(t, o, "Drift network web/app")
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Host))
	f := o.Findings[0]
	if f.Claimed != isolation.Pod || f.Observed != isolation.Host || f.Evidence.Owner != "node" ||
		f.Evidence.PID != app.first().PID || f.Evidence.Inode != w.init.Namespaces[isolation.Network].ID.Inode {
		t.Errorf("finding %+v, evidence %+v", f, f.Evidence)
	}
	if want := `is in the node's network namespace; the spec promises network Pod`; !strings.Contains(f.Message, want) {
		t.Errorf("message %q lacks %q", f.Message, want)
	}

	app.first().enter(app.pod.sandbox.first(), isolation.Network)
	expectTold(t, w.later(time.Second))
}

func TestRuntimesInitIsNeitherFoundNorPassed(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.add("app")
	app.start("runc:[2:INIT]")

	o := w.observe()
	expectTold(t, o)
	if !o.Pending {
		t.Error("does not ask for a second look")
	}
	for _, a := range []isolation.Axis{isolation.PID, isolation.Network, isolation.IPC, isolation.UTS, isolation.Mount, isolation.Cgroup} {
		if level := levelsOf(t, o, app)[a]; level != isolation.Unknown {
			t.Errorf("%s is %s", a, level)
		}
	}

	app.first().enter(web.sandbox.first(), isolation.Network, isolation.IPC, isolation.UTS)
	app.first().unshare(isolation.PID, isolation.Mount, isolation.Cgroup)
	o = w.later(time.Second)
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestNodesCgroupsArePassedWhereNothingIsPromised(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().enter(w.init, isolation.Cgroup)
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.Cgroup, isolation.Host))
}

func TestEscapeIsFoundAndCleared(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	shell := app.first().fork()
	shell.Command = "sh\n\x1b[2J"
	shell.enter(w.init, isolation.Network, isolation.IPC, isolation.UTS, isolation.Mount)

	o := w.later(time.Second)
	expectTold(t, o)
	if !o.Pending {
		t.Error("does not ask for a second look")
	}

	o = w.later(time.Second)
	expectTold(t, o, "Escape ipc web/app", "Escape mount web/app", "Escape network web/app", "Escape uts web/app")
	for _, a := range []isolation.Axis{isolation.Network, isolation.IPC, isolation.UTS, isolation.Mount} {
		if level := levelsOf(t, o, app)[a]; level != isolation.Host {
			t.Errorf("%s is %s", a, level)
		}
	}
	e := o.Findings[0].Evidence
	want := isolation.Evidence{
		PID: shell.PID, StartTime: shell.StartTime, Command: `sh\n\x1b[2J`, Owner: "node", Processes: 1,
		Inode:    w.init.Namespaces[isolation.IPC].ID.Inode,
		OwnInode: app.first().Namespaces[isolation.IPC].ID.Inode,
	}
	if *e != want {
		t.Errorf("evidence %+v, want %+v", *e, want)
	}
	if m := o.Findings[0].Message; !strings.HasSuffix(m, `("sh\n\x1b[2J") is in the node's ipc namespace; its container started at ipc Pod`) {
		t.Errorf("message %q", m)
	}

	shell.end()
	o = w.later(time.Second)
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestFirstProcessThatLeavesItsNamespaceHasEscaped(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	app.first().enter(w.init, isolation.Network)
	app.first().fork()
	o := w.later(time.Second)
	expectTold(t, o, "Escape network web/app")
	o = w.later(time.Second)
	expectTold(t, o, "Escape network web/app")
	if n := o.Findings[0].Evidence.Processes; n != 2 {
		t.Errorf("%d processes", n)
	}
}

func TestProcessThatStaysWhereItsContainerStartedCounts(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().enter(w.init, isolation.Network)
	app.first().fork()
	w.confirmed()
	app.first().unshare(isolation.Network)
	o := w.later(time.Second)
	expectTold(t, o, "Drift network web/app")
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Host))
}

func TestEndOfTheFirstProcessMakesNoEscapedOneTheMeasure(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.Claim = isolation.Vector{} // as where the API is not asked
	shell := app.first().fork()
	w.confirmed()
	shell.enter(w.init, isolation.Mount)
	w.confirmed()
	app.first().end()
	shell.PPID = 1
	w.confirmed()
	expectTold(t, w.later(time.Second), "Escape mount web/app")
}

func TestFirstProcessThatTakesThePlaceOfAnotherIsConfirmedAnew(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	shell := app.exec("sh")
	w.confirmed()
	app.first().end()
	shell.end()
	app.start("runc:[2:INIT]")
	o := w.later(time.Second)
	expectTold(t, o)
	if level := levelsOf(t, o, app)[isolation.Network]; level != isolation.Unknown {
		t.Errorf("network is %s", level)
	}
}

func TestFirstProcessIsTheOldestThatWasNotBornInside(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().enter(w.init, isolation.Network)
	child := app.first().fork()
	child.StartTime = app.first().StartTime - 1
	app.exec("sh")
	o := w.confirmed()
	expectTold(t, o, "Drift network web/app")
	if e := o.Findings[0].Evidence; e.PID != app.first().PID || e.Processes != 3 {
		t.Errorf("evidence %+v", e)
	}
}

func TestWorstPlaceOfSeveralProcessesIsTheEvidence(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app, proxy := web.run("app"), web.run("proxy")
	w.confirmed()
	app.first().fork().enter(proxy.first(), isolation.Mount)
	shell := app.first().fork()
	shell.enter(w.init, isolation.Mount)
	app.first().fork().enter(proxy.first(), isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Escape mount web/app")
	f := o.Findings[0]
	if f.Observed != isolation.Host || f.Evidence.PID != shell.PID || f.Evidence.Processes != 3 {
		t.Errorf("observed %s, evidence %+v", f.Observed, f.Evidence)
	}
}

func TestEscapeThatKeepsForkingIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	for i := range 3 {
		shell := app.first().fork()
		shell.enter(w.init, isolation.Mount)
		o := w.later(time.Second)
		if i == 0 {
			expectTold(t, o)
		} else {
			expectTold(t, o, "Escape mount web/app")
			expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Host))
		}
		shell.end()
	}
}

func TestEscapeThatGoesFromPodToPodIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	others := []*container{w.pod("a").run("a"), w.pod("b").run("b")}
	w.confirmed()
	shell := app.first().fork()
	shell.enter(others[0].first(), isolation.Network)
	w.later(time.Second)
	shell.enter(others[1].first(), isolation.Network)
	expectTold(t, w.later(time.Second), "Foreign network web/app")
}

func TestExecsOfTheRuntimeAreNotFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	for range 5 {
		probe := app.start("runc:[2:INIT]")
		probe.PID = 4711 // numbers are used again
		o := w.later(time.Second)
		expectTold(t, o)
		expectLevels(t, o, app, clean)
		probe.end()
	}
	probe := app.exec("curl")
	expectTold(t, w.later(time.Second))
	probe.end()
}

func TestProcessBroughtInThatStaysOutsideIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	app.start("sh")
	w.later(time.Second)
	o := w.later(time.Second)
	expectTold(t, o, "Escape cgroup web/app", "Escape ipc web/app", "Escape mount web/app",
		"Escape network web/app", "Escape pid web/app", "Escape uts web/app")
}

func TestThreadThatLeavesItsProcessIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	thread := app.first().fork()
	thread.PID, thread.PPID, thread.TID = app.first().PID, app.first().PID, app.first().PID+1
	thread.StartTime = app.first().StartTime
	thread.enter(w.init, isolation.Mount)
	w.confirmed()
	w.outsideRead = 0
	o := w.later(time.Second)
	expectTold(t, o, "Escape mount web/app")
	if w.outsideRead != 0 {
		t.Error("takes the thread for its process")
	}
	if e := o.Findings[0].Evidence; e.PID != app.first().PID || e.TID != thread.TID {
		t.Errorf("evidence %+v", e)
	}
}
