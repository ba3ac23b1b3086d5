// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestRootOfTheNodeInAUserNamespaceIsHost(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.Claim = but(promised, isolation.User, isolation.Pod)
	app.first().unshare(isolation.User)
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.User, isolation.Pod))

	app.first().MapsNodeRoot = true
	o = w.later(time.Second)
	expectTold(t, o, "Escape user web/app")
	expectLevels(t, o, app, clean)

	w.restart(nil)
	o = w.confirmed()
	expectTold(t, o, "Drift user web/app")
	if m := o.Findings[0].Message; !strings.Contains(m, "a user namespace in which root is the node's root") {
		t.Errorf("message %q", m)
	}
}

func TestWhatCannotBeReadIsUnverified(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	child := app.first().fork()
	app.first().hide("permission denied", isolation.Network, isolation.IPC)
	child.hide("permission denied", isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Unverified ipc web/app", "Unverified mount web/app", "Unverified network web/app")
	for _, a := range []isolation.Axis{isolation.Network, isolation.IPC, isolation.Mount} {
		if level := levelsOf(t, o, app)[a]; level != isolation.Unknown {
			t.Errorf("%s is %s", a, level)
		}
	}

	child.end()
	app.first().hide("permission\ndenied", isolation.Axes[:]...)
	o = w.later(time.Second)
	expectTold(t, o, "Unverified web/app")
	expectLevels(t, o, app, isolation.Fill(isolation.Unknown))
	if m := o.Findings[0].Message; m != `permission\ndenied` {
		t.Errorf("message %q", m)
	}
}

func TestNamespaceThatWasNotReadIsUnknown(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().Namespaces[isolation.Mount] = isolation.Namespace{}
	expectLevels(t, w.confirmed(), app, but(clean, isolation.Mount, isolation.Unknown))
}

func TestEscapeIsFoundBesideAFirstProcessThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().fork().enter(w.init, isolation.Network)
	app.first().hide("permission denied", isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Escape network web/app")
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Host))
	if m := o.Findings[0].Message; !strings.Contains(m, "where its container started is not known, and the spec promises network Pod") {
		t.Errorf("message %q", m)
	}

	// Where it did start is known of this one.
	other := w.pod("db").run("db")
	w.confirmed()
	other.first().hide("permission denied", isolation.Network)
	other.first().fork().enter(w.init, isolation.Network)
	o = w.confirmed()
	expectTold(t, o, "Escape network db/db", "Escape network web/app")
	if m := o.Findings[0].Message; !strings.Contains(m, "its container started at network Pod") {
		t.Errorf("message %q", m)
	}
}

func TestWhereNothingIsPromisedAndTheFirstProcessCannotBeReadOnlyLevelsAreTold(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.Claim = isolation.Vector{}
	app.first().hide("permission denied", isolation.Network)
	w.confirmed()
	shell := app.start("runc:[2:INIT]")
	shell.enter(app.first(), isolation.PID, isolation.Mount, isolation.IPC, isolation.UTS, isolation.Cgroup)
	o := w.later(time.Second)
	expectTold(t, o, "Unverified network web/app")
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Unknown))
	o = w.later(time.Second)
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Host))
}

func TestWithoutTheNodesNamespacesNothingPasses(t *testing.T) {
	w := newWorld(t)
	for _, a := range isolation.Axes {
		w.blind[a] = "permission denied"
	}
	a, b := w.pod("a"), w.pod("b")
	isolated := a.run("app")
	// Both are on the node's network, and in nobody else's.
	for _, p := range []*pod{a, b} {
		p.sandbox.first().enter(w.init, isolation.Network)
		c := p.run("host")
		c.Claim = but(promised, isolation.Network, isolation.Host)
	}
	o := w.confirmed()
	if len(o.Findings) == 0 {
		t.Error("tells nothing")
	}
	for i := range o.Findings {
		f := &o.Findings[i]
		if f.Kind != v1alpha1.Unverified || f.Message != "the node's own namespace is not known: permission denied" {
			t.Errorf("%s %q", f.Kind, f.Message)
		}
	}
	for _, axis := range []isolation.Axis{isolation.PID, isolation.IPC, isolation.UTS, isolation.Mount, isolation.Cgroup} {
		if level := levelsOf(t, o, isolated)[axis]; level.Known() {
			t.Errorf("%s is %s", axis, level)
		}
	}
	if level := levelsOf(t, o, isolated)[isolation.Network]; level.Satisfies(isolation.Pod) {
		t.Errorf("network is %s", level)
	}
}

func TestNodeWithoutNamespacesAndWithoutAReasonPassesNothing(t *testing.T) {
	w := newWorld(t)
	w.pod("web").run("app")
	l := w.look(true)
	l.Node = [isolation.NumAxes]isolation.NodeNamespaces{}
	l.Outside = nil
	o, err := w.tracker.Observe(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Containers {
		for _, a := range isolation.Axes {
			if c.Levels[a].Known() {
				t.Errorf("%s of %s is %s", a, c.ID, c.Levels[a])
			}
		}
	}
}

func TestPodThatTheKernelDoesNotShowIsNotApplicable(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	seen, unseen := web.add("seen"), web.add("unseen")
	seen.start("qemu")
	for _, c := range []*container{web.sandbox, seen, unseen} {
		c.NotApplicable = "runtime class kata"
	}
	o := w.confirmed()
	expectTold(t, o, "Unverified web/seen", "Unverified web/unseen")
	for _, c := range []*container{seen, unseen} {
		expectLevels(t, o, c, isolation.Fill(isolation.NotApplicable))
	}
	if m := o.Findings[0].Message; m != "runtime class kata" {
		t.Errorf("message %q", m)
	}
}

func TestContainerThatShouldRunAndHasNoProcessIsUnknown(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	web.run("app")
	missing := web.add("missing")
	done := web.add("done")
	done.Expected = false
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, missing, isolation.Fill(isolation.Unknown))

	// The API learns of the end of a container later: a moment is no finding, and no pass either.
	o = w.later(isolation.MissingAfter)
	expectTold(t, o, "Unverified web/missing")
	expectLevels(t, o, missing, isolation.Fill(isolation.Unknown))
	if got, _ := podLevels(o, web); got != but(but(isolation.Fill(isolation.Unknown), isolation.User, isolation.Host), isolation.Time, isolation.Host) {
		t.Errorf("pod: %v", got)
	}
}

func TestSandboxAloneSaysNothingAboutItsPod(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	o := w.confirmed()
	expectTold(t, o)
	if got, ok := podLevels(o, web); ok {
		t.Errorf("pod was observed: %v", got)
	}
	if o.Pending {
		t.Error("waits for a second look")
	}
}

func TestProcessThatEscapedFromTheSandboxIsFound(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	w.confirmed()
	web.sandbox.first().fork().enter(w.init, isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Escape network web")
	want := but(isolation.Fill(isolation.Unknown), isolation.Network, isolation.Host)
	if got, ok := podLevels(o, web); !ok || got != want {
		t.Errorf("pod: %v, %v", got, ok)
	}
}

func TestOrphanIsToldAfterAWhile(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.run("app")
	web.sandbox.Stray, app.Stray = "not known", "not known to the API\n"
	for elapsed := time.Duration(0); elapsed < isolation.OrphanAfter; elapsed += 5 * time.Second {
		o := w.observe()
		expectTold(t, o)
		if o.Pending {
			t.Error("asks for looks in haste, and has to wait")
		}
		w.now = w.now.Add(5 * time.Second)
	}
	app.first().fork()
	o := w.observe()
	expectTold(t, o, "Orphan web/app")
	if f := o.Findings[0]; f.Message != `not known to the API\n` || f.Evidence.Processes != 2 || f.Evidence.PID != app.first().PID {
		t.Errorf("finding %+v, evidence %+v", f, f.Evidence)
	}

	w.restart(o.Findings)
	expectTold(t, w.observe(), "Orphan web/app")
	app.Stray = ""
	expectTold(t, w.later(time.Second))
	app.Stray = "not known again"
	expectTold(t, w.later(time.Second))
}

func TestContainerOfAPodThatIsStartingIsToldLater(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.Stray, app.Starting = "not known to the API", true
	expectTold(t, w.observe())
	expectTold(t, w.later(isolation.OrphanAfter))
	expectTold(t, w.later(isolation.StartingAfter-isolation.OrphanAfter-time.Second))
	expectTold(t, w.later(time.Second), "Orphan web/app")
}

func TestContainerOfAPodThatHasStartedIsToldFromWhenItWasSeen(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.Stray, app.Starting = "not known to the API", true
	w.observe()
	expectTold(t, w.later(isolation.OrphanAfter))
	app.Starting = false
	expectTold(t, w.later(time.Second), "Orphan web/app")
}

func TestEscapeStaysAnEscapeWhenTheAgentIsRestarted(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	other := w.pod("db").run("db")
	w.confirmed()
	app.first().enter(w.init, isolation.Network)
	other.first().fork().enter(w.init, isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Escape mount db/db", "Escape network web/app")

	w.restart(o.Findings)
	o = w.observe()
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.Network, isolation.Unknown))
	for range 3 {
		expectTold(t, w.later(time.Second), "Escape mount db/db", "Escape network web/app")
	}
}

func TestKnownFindingsOfAnotherContainerChangeNothing(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().enter(w.init, isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Drift network web/app")
	w.restart(o.Findings)
	expectTold(t, w.confirmed(), "Drift network web/app")

	known := o.Findings
	known = append(known, isolation.Finding{Kind: v1alpha1.Escape, ContainerID: app.ID, Axis: "network"})
	stale := known[0]
	stale.Kind = v1alpha1.Escape
	stale.Evidence = &isolation.Evidence{PID: app.first().PID, StartTime: 7}
	w.restart(append(known, stale))
	expectTold(t, w.confirmed(), "Drift network web/app")
}

func TestMemoryDoesNotGrow(t *testing.T) {
	w := newWorld(t)
	churn := func() {
		web := w.pod("web")
		app := web.run("app")
		shell := app.first().fork()
		shell.enter(w.init, isolation.Mount)
		shell.fork().unshare(isolation.User, isolation.PID)
		app.Stray = "not known"
		w.confirmed()
		web.gone()
	}
	churn()
	size := w.tracker.Remembered()
	for range 20 {
		churn()
	}
	if got := w.tracker.Remembered(); got > size {
		t.Errorf("remembers %d things, %d at first", got, size)
	}
	w.later(time.Second)
	if got := w.tracker.Remembered(); got != 0 {
		t.Errorf("remembers %d things of an empty node", got)
	}
}

func TestLooksWithoutTheProcessesOutsideAreEnoughOnceEverythingIsExplained(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.run("app")
	if _, err := w.tracker.Observe(w.look(false)); !errors.Is(err, isolation.ErrUnexplained) {
		t.Fatalf("a container's own namespace is explained at once: %v", err)
	}
	w.observe()
	browser := app.first().fork()
	browser.unshare(isolation.User, isolation.PID, isolation.Network)
	w.later(time.Second)
	w.outsideRead = 0
	for range 3 {
		browser.fork()
		expectTold(t, w.later(time.Second))
	}
	if w.outsideRead != 0 {
		t.Errorf("the processes outside were read %d times for nothing", w.outsideRead)
	}
	web.run("proxy")
	w.later(time.Second)
	if w.outsideRead != 1 {
		t.Errorf("a new container: the processes outside were read %d times", w.outsideRead)
	}
}

func TestLookThatIsNotExplainedIsNotTakenIntoAccount(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	app.first().enter(w.init, isolation.Network)
	if _, err := w.tracker.Observe(w.look(false)); !errors.Is(err, isolation.ErrUnexplained) {
		t.Fatal(err)
	}
	w.now = w.now.Add(isolation.ConfirmAfter)
	expectTold(t, w.observe())
	expectTold(t, w.later(isolation.ConfirmAfter), "Drift network web/app")
}

func TestContainersInNoPodAreObserved(t *testing.T) {
	w := newWorld(t)
	a, b := w.standalone("a"), w.standalone("b")
	o := w.confirmed()
	expectTold(t, o)
	if len(o.Pods) != 0 {
		t.Errorf("pods %v", o.Pods)
	}
	expectLevels(t, o, a, clean)

	b.first().fork().enter(a.first(), isolation.Network)
	a.first().fork().enter(w.init, isolation.Mount)
	o = w.confirmed()
	expectTold(t, o, "Escape mount ", "Foreign network ")
	expectLevels(t, o, b, but(clean, isolation.Network, isolation.Foreign))
	if e := o.Findings[1].Evidence; e.Owner != "container a" {
		t.Errorf("evidence %+v", e)
	}
}

func TestWorstFindingsComeFirst(t *testing.T) {
	w := newWorld(t)
	a, b := w.pod("a").run("a"), w.pod("b").run("b")
	drift := w.pod("d").run("d")
	drift.first().enter(w.init, isolation.UTS)
	w.confirmed()
	a.first().fork().enter(b.first(), isolation.Network)
	b.first().fork().enter(w.init, isolation.Network)
	b.first().hide("permission denied", isolation.IPC)
	o := w.confirmed()
	expectTold(t, o, "Escape network b/b", "Foreign network a/a", "Drift uts d/d", "Unverified ipc b/b")
	if !slices.IsSortedFunc(o.Findings, func(x, y isolation.Finding) int {
		return isolation.Severity(x.Kind) - isolation.Severity(y.Kind)
	}) {
		t.Error("not in the order of severity")
	}
}
