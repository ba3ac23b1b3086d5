// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestIntruderIsBlamedAndItsVictimKeepsItsLevel(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app") // older than its victim
	victim := w.pod("victim").run("app")
	w.confirmed()
	intruder.first().fork().enter(victim.first(), isolation.Network, isolation.IPC, isolation.UTS, isolation.Mount, isolation.Cgroup)
	o := w.confirmed()
	expectTold(t, o, "Foreign cgroup intruder/app", "Foreign ipc intruder/app", "Foreign mount intruder/app",
		"Foreign network intruder/app", "Foreign uts intruder/app")
	expectLevels(t, o, victim, clean)
	if level := levelsOf(t, o, intruder)[isolation.Mount]; level != isolation.Foreign {
		t.Errorf("mount is %s", level)
	}
	f := o.Findings[2]
	if f.Evidence.Owner != "ns/victim" || !strings.Contains(f.Message, "the mount namespace of ns/victim/app; its container started at mount Container") {
		t.Errorf("message %q, evidence %+v", f.Message, f.Evidence)
	}
}

func TestContainerThatStartsInAnotherPodsNamespaceIsForeign(t *testing.T) {
	w := newWorld(t)
	victim := w.pod("victim").run("app")
	intruder := w.pod("intruder").run("app")
	intruder.Claim = but(promised, isolation.Network, isolation.Host)
	intruder.first().enter(victim.first(), isolation.Network)
	o := w.observe()
	expectTold(t, o)
	expectLevels(t, o, intruder, but(clean, isolation.Network, isolation.Unknown))
	o = w.later(time.Second)
	expectTold(t, o, "Foreign network intruder/app")
	expectLevels(t, o, intruder, but(clean, isolation.Network, isolation.Foreign))
	expectLevels(t, o, victim, clean)
}

func TestIntruderIsForeignAfterItsVictimHasGone(t *testing.T) {
	for name, first := range map[string]bool{"its first process": true, "another process": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			intruder := w.pod("intruder").run("app")
			victim := w.pod("victim")
			entered := victim.run("app").first()
			w.confirmed()
			p := intruder.first()
			if !first {
				p = p.fork()
			}
			p.enter(entered, isolation.Network, isolation.Mount)
			w.confirmed()

			victim.gone()
			for range 2 {
				o := w.later(time.Second)
				expectTold(t, o, "Foreign mount intruder/app", "Foreign network intruder/app")
				if owner := o.Findings[0].Evidence.Owner; owner != "ns/victim" {
					t.Errorf("owner %q", owner)
				}
			}
			p.unshare(isolation.Network, isolation.Mount)
			expectTold(t, w.later(time.Second))
		})
	}
}

func TestIntruderThatIsJoinedByAnotherIsForeignAfterItsVictimHasGone(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app")
	joins, enters := intruder.first().fork(), intruder.first().fork()
	victim := w.pod("victim")
	enters.enter(victim.run("app").first(), isolation.Network)
	w.confirmed()
	victim.gone()
	joins.enter(enters, isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Foreign network intruder/app")
	if n := o.Findings[0].Evidence.Processes; n != 2 {
		t.Errorf("%d processes", n)
	}
}

func TestIntruderIsBlamedWhenItsVictimsContainerIsRestarted(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app")
	// As with CRI-O: no sandbox holds the namespaces, and the intruder is older than what starts next.
	victim := w.podWithoutSandbox("victim")
	former := victim.run("app")
	w.confirmed()
	intruder.first().enter(former.first(), isolation.Network)
	w.confirmed()
	former.gone()
	w.later(time.Second)
	next := victim.run("app")
	next.first().enter(intruder.first(), isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Foreign network intruder/app")
	expectLevels(t, o, next, clean)
}

func TestSandboxOutweighsAnOlderIntruderWhenTheAgentIsRestarted(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app")
	victim := w.pod("victim").run("app")
	intruder.first().enter(victim.first(), isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Foreign network intruder/app")
	w.restart(o.Findings)
	o = w.confirmed()
	expectTold(t, o, "Foreign network intruder/app")
	expectLevels(t, o, victim, clean)
}

func TestSandboxOutweighsWhatWasFoundWithoutIt(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app")
	victim := w.pod("victim")
	app := victim.run("app")
	intruder.first().enter(app.first(), isolation.Network)
	pause := victim.sandbox.first()
	own := pause.Namespaces
	pause.hide("not now", isolation.Network)
	w.confirmed()
	pause.Namespaces = own
	o := w.confirmed()
	expectTold(t, o, "Foreign network intruder/app")
	expectLevels(t, o, app, clean)
}

func TestSandboxThatIsMovedDoesNotTakeItsVictimsNamespace(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder")
	victim := w.pod("victim").run("app")
	w.confirmed()
	// A process that the intruder brought into its sandbox has no right of its own either.
	intruder.sandbox.first().enter(victim.first(), isolation.Network)
	intruder.sandbox.first().fork()
	o := w.confirmed()
	expectTold(t, o, "Foreign network intruder")
	expectLevels(t, o, victim, clean)
}

func TestProcessBesideASandboxHasNoSandboxesRight(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder")
	helper := intruder.sandbox.first().fork()
	victim := w.pod("victim").run("app")
	helper.enter(victim.first(), isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Foreign mount intruder")
	expectLevels(t, o, victim, clean)
}

func TestNamespacesThatAContainerMakesForItselfAreFine(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("browser")
	w.confirmed()
	tab := app.first().fork()
	tab.unshare(isolation.User, isolation.PID, isolation.Network, isolation.Mount, isolation.IPC, isolation.UTS, isolation.Cgroup)
	tab.fork()
	for range 2 {
		o := w.later(time.Second)
		expectTold(t, o)
		expectLevels(t, o, app, clean)
	}
}

func TestNamespaceThatAnotherPodMadeForItselfIsForeign(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app")
	shell := intruder.first().fork() // older than what it enters
	victim := w.pod("victim").run("browser")
	tab := victim.first().fork()
	tab.unshare(isolation.Network, isolation.Mount)
	w.confirmed()
	shell.enter(tab, isolation.Network, isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Foreign mount intruder/app", "Foreign network intruder/app")
	expectLevels(t, o, victim, clean)
}

func TestSiblingsNamespaceIsPod(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app, proxy := web.run("app"), web.run("proxy")
	w.confirmed()
	proxy.first().fork().enter(app.first(), isolation.Mount, isolation.Cgroup)
	o := w.confirmed()
	expectTold(t, o, "Escape cgroup web/proxy", "Escape mount web/proxy")
	expectLevels(t, o, proxy, but(but(clean, isolation.Mount, isolation.Pod), isolation.Cgroup, isolation.Pod))
	expectLevels(t, o, app, clean)
	if m := o.Findings[1].Message; !strings.Contains(m, "the mount namespace of ns/web/app, in its own pod; its container started at mount Container") {
		t.Errorf("message %q", m)
	}
}

func TestNamespaceOfAnOlderProcessOutsideIsTheNodes(t *testing.T) {
	w := newWorld(t)
	service := w.daemon("private-tmp")
	service.unshare(isolation.Mount)
	app := w.pod("web").run("app")
	app.first().enter(service, isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Drift mount web/app")
	expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Host))
	if owner := o.Findings[0].Evidence.Owner; owner != "node" {
		t.Errorf("owner %q", owner)
	}

	w.outsideRead = 0
	for range 2 {
		o = w.later(time.Second)
		expectTold(t, o, "Drift mount web/app")
		expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Host))
	}
	if w.outsideRead != 0 {
		t.Errorf("the processes outside were read %d times again", w.outsideRead)
	}
}

// While a container starts, a process of its runtime can be in its namespaces, and outside of it.
func TestAProcessOutsideThatIsThereForAMomentWhileAContainerStartsIsNobodys(t *testing.T) {
	w := newWorld(t)
	helper := w.daemon("stage")
	helper.unshare(isolation.Mount)
	app := w.pod("web").run("app")
	app.first().enter(helper, isolation.Mount)
	w.observe()
	w.outside = nil
	for range 2 {
		o := w.later(time.Second)
		expectTold(t, o)
		expectLevels(t, o, app, clean)
	}
}

func TestEscapeIntoAServicesNamespaceIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	shell := app.first().fork()
	service := w.daemon("private-tmp") // younger than the intruder
	service.unshare(isolation.Mount)
	w.confirmed()
	shell.enter(service, isolation.Mount)
	expectTold(t, w.confirmed(), "Escape mount web/app")
}

func TestFirstProcessThatEntersAYoungerServicesNamespaceIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	service := w.daemon("private-tmp")
	service.unshare(isolation.Mount)
	app.first().enter(service, isolation.Mount)
	o := w.later(time.Second)
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Unknown))
	if !o.Pending {
		t.Error("does not ask for a second look")
	}
	for range 2 {
		o := w.later(time.Second)
		expectTold(t, o, "Escape mount web/app")
		expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Host))
	}
}

func TestFirstProcessThatGoesFromServiceToServiceIsFound(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	for i := range 4 {
		service := w.daemon("private-tmp")
		service.unshare(isolation.Mount)
		app.first().enter(service, isolation.Mount)
		o := w.later(time.Second)
		if i > 0 {
			expectTold(t, o, "Escape mount web/app")
			expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Host))
		}
	}
}

func TestEscapeIntoAServicesNamespaceIsFoundAfterTheServiceHasEnded(t *testing.T) {
	w := newWorld(t)
	app, put := w.pod("web").run("app"), w.pod("db").run("app")
	service := w.daemon("private-tmp")
	service.unshare(isolation.Mount)
	put.first().StartTime = service.StartTime + 1
	put.first().enter(service, isolation.Mount)
	app.first().fork().enter(service, isolation.Mount)
	w.confirmed()
	w.outside = nil
	for range 2 {
		expectTold(t, w.later(time.Second), "Escape mount web/app", "Drift mount db/app")
	}
}

// runc opens what is to be mounted in a thread that joins the container's mount namespace, which can be its first thread.
func TestAThreadThatVisitsWhileAContainerStartsIsNobodys(t *testing.T) {
	for name, thread := range map[string]bool{"its first thread": false, "another thread": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			creator := w.daemon("runc")
			creator.Scattered[isolation.Mount] = true
			if thread {
				creator.TID = creator.PID + 1
			}
			app := w.pod("web").run("app")
			creator.enter(app.first(), isolation.Mount)
			if o := w.observe(); !o.Pending {
				t.Error("does not ask for a second look")
			}
			for range 12 {
				o := w.later(time.Second)
				expectTold(t, o)
				expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Unknown))
				if o.Pending {
					t.Error("asks for a second look, again and again")
				}
			}
			// It is ending, and its other threads have ended before it.
			creator.Scattered[isolation.Mount] = false
			o := w.later(time.Second)
			expectTold(t, o)
			expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Unknown))
			w.outside = nil
			for range 2 {
				o := w.later(time.Second)
				expectTold(t, o)
				expectLevels(t, o, app, clean)
			}
		})
	}
}

func TestAThreadThatStaysInAContainerFromItsStartMakesItUnverified(t *testing.T) {
	w := newWorld(t)
	thread := w.daemon("monitor")
	thread.Scattered[isolation.Mount] = true
	thread.unshare(isolation.Mount)
	app := w.pod("web").run("app")
	app.first().enter(thread, isolation.Mount)
	w.confirmed()
	o := w.later(isolation.VisitedAfter)
	expectTold(t, o, "Unverified mount web/app")
	expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Unknown))
	if m := o.Findings[0].Message; !strings.Contains(m, `a thread of process `) || !strings.Contains(m, `("monitor"), which is in no container, is in its mount namespace`) {
		t.Errorf("message %q", m)
	}
	// Where it goes, it leaves a namespace in which nobody else is.
	w.outside = nil
	for range 2 {
		o = w.later(time.Second)
		expectTold(t, o)
		expectLevels(t, o, app, clean)
	}
}

func TestAThreadThatVisitsLaterChangesNothing(t *testing.T) {
	w := newWorld(t)
	monitor := w.daemon("monitor")
	monitor.Scattered[isolation.Mount] = true
	app := w.pod("web").run("app")
	w.confirmed()
	monitor.enter(app.first(), isolation.Mount)
	w.pod("db").run("db") // makes the processes outside be read
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestProcessThatEntersTheNamespaceOfAThreadOutsideIsNotPassed(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	thread := w.daemon("monitor")
	thread.Scattered[isolation.Mount] = true
	thread.unshare(isolation.Mount)
	app.first().fork().enter(thread, isolation.Mount)
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Unknown))
	o = w.later(isolation.VisitedAfter)
	expectTold(t, o, "Unverified mount web/app")
	if m := o.Findings[0].Message; !strings.Contains(m, `("monitor")`) {
		t.Errorf("message %q", m)
	}
}

// Who started beside a thread of the node is measured by that, wherever it goes from there.
func TestFirstProcessThatStartedBesideAThreadOutsideIsBlamed(t *testing.T) {
	begin := func() (w *world, intruder *container) {
		w = newWorld(t)
		thread := w.daemon("monitor")
		thread.Scattered[isolation.Mount] = true
		intruder = w.pod("intruder").run("app")
		thread.enter(intruder.first(), isolation.Mount)
		expectTold(t, w.confirmed())
		return w, intruder
	}
	t.Run("in a younger container's namespace", func(t *testing.T) {
		w, intruder := begin()
		victim := w.pod("victim").run("app")
		intruder.first().enter(victim.first(), isolation.Mount)
		w.later(time.Second)
		for range 2 {
			o := w.later(time.Second)
			expectTold(t, o, "Foreign mount intruder/app")
			expectLevels(t, o, victim, clean)
		}
	})
	t.Run("in the node's", func(t *testing.T) {
		w, intruder := begin()
		intruder.Claim = isolation.Vector{}
		intruder.first().enter(w.init, isolation.Mount)
		w.later(time.Second)
		for range 2 {
			expectTold(t, w.later(time.Second), "Escape mount intruder/app")
		}
	})
}

// A process whose threads come and go owns a namespace in one look and visits it in the next.
func TestProcessOutsideThatVisitsInEveryOtherLookDoesNotHideAnybody(t *testing.T) {
	for name, first := range map[string]bool{"its first process": true, "another process": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			accomplice := w.daemon("accomplice")
			accomplice.unshare(isolation.Mount)
			app := w.pod("web").run("app")
			p := app.first()
			if !first {
				w.confirmed()
				p = p.fork()
			}
			p.enter(accomplice, isolation.Mount)
			began := w.now
			for i := range 40 {
				accomplice.Scattered[isolation.Mount] = i%2 == 1
				o := w.later(2 * time.Second)
				expectLevels(t, o, app, but(clean, isolation.Mount, isolation.Unknown))
				if w.now.Sub(began) <= isolation.VisitedAfter {
					expectTold(t, o)
				} else if w.now.Sub(began) > isolation.VisitedAfter+2*time.Second {
					expectTold(t, o, "Unverified mount web/app")
				}
			}
		})
	}
}

func TestVisitorDoesNotHideWhoCannotBeRead(t *testing.T) {
	for name, first := range map[string]bool{"of its first process": true, "of another process": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			thread := w.daemon("monitor")
			thread.Scattered[isolation.Mount] = true
			thread.unshare(isolation.Mount)
			app := w.pod("web").run("app")
			p := app.first()
			if !first {
				w.confirmed()
				p = p.fork()
			}
			p.enter(thread, isolation.Mount)
			app.first().fork().hide("permission denied", isolation.Mount)
			o := w.confirmed()
			expectTold(t, o, "Unverified mount web/app")
			if m := o.Findings[0].Message; !strings.Contains(m, "a process of it could not be read") {
				t.Errorf("message %q", m)
			}
		})
	}
}

func TestNamespaceOfAServiceIsTheNodesWhoeverVisitsIt(t *testing.T) {
	w := newWorld(t)
	visitor := w.daemon("monitor")
	visitor.Scattered[isolation.Mount] = true
	service := w.daemon("private-tmp")
	service.unshare(isolation.Mount)
	visitor.enter(service, isolation.Mount)
	app := w.pod("web").run("app")
	app.first().enter(service, isolation.Mount)
	o := w.confirmed()
	expectTold(t, o, "Drift mount web/app")
	if m := o.Findings[0].Message; !strings.Contains(m, `is in the mount namespace of the node's process `) || !strings.Contains(m, `("private-tmp"); the spec promises mount Container`) {
		t.Errorf("message %q", m)
	}
}

func TestFirstProcessThatEntersAYoungerContainersNamespaceIsBlamed(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder").run("app")
	w.confirmed()
	// Both happens between two looks.
	victim := w.pod("victim").run("app")
	intruder.first().enter(victim.first(), isolation.Mount, isolation.PID)
	o := w.confirmed()
	expectTold(t, o, "Foreign mount intruder/app", "Foreign pid intruder/app")
	expectLevels(t, o, victim, clean)
}

func TestSandboxThatEntersAYoungerPodsNamespaceIsBlamed(t *testing.T) {
	w := newWorld(t)
	intruder := w.pod("intruder")
	w.confirmed()
	victim := w.pod("victim").run("app")
	intruder.sandbox.first().enter(victim.first(), isolation.Network)
	o := w.confirmed()
	expectTold(t, o, "Foreign network intruder")
	expectLevels(t, o, victim, clean)
}

func TestNamespaceThatIsReadAgainIsStillTheContainers(t *testing.T) {
	w := newWorld(t)
	app := w.pod("web").run("app")
	w.confirmed()
	own := app.first().Namespaces[isolation.Mount]
	app.first().hide("not now", isolation.Mount)
	w.later(time.Second)
	app.first().Namespaces[isolation.Mount] = own
	w.daemon("nsenter").enter(app.first(), isolation.Mount)
	o := w.later(time.Second)
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestRuntimesInitThatIsEnteredWhileItStartsOwnsItsNamespaces(t *testing.T) {
	w := newWorld(t)
	web := w.pod("web")
	app := web.add("app")
	app.start("runc:[2:INIT]")
	w.observe()
	app.first().enter(web.sandbox.first(), isolation.Network, isolation.IPC, isolation.UTS)
	app.first().unshare(isolation.PID, isolation.Mount, isolation.Cgroup)
	w.daemon("hook").enter(app.first(), isolation.Mount)
	o := w.later(time.Second)
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestProcessOutsideThatEntersAContainerChangesNothing(t *testing.T) {
	w := newWorld(t)
	old := w.daemon("agent")
	app := w.pod("web").run("app")
	w.confirmed()
	old.enter(app.first(), isolation.Network, isolation.Mount)
	w.pod("db").run("db") // makes the processes outside be read
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestNumberThatIsUsedAgainIsAnotherNamespace(t *testing.T) {
	w := newWorld(t)
	former := w.pod("former")
	number := former.run("app").first().Namespaces
	w.confirmed()
	former.gone()
	next := w.pod("next")
	app := next.run("app")
	for _, a := range []isolation.Axis{isolation.Network, isolation.IPC, isolation.UTS} {
		next.sandbox.first().Namespaces[a] = number[a]
		app.first().Namespaces[a] = number[a]
	}
	app.first().Namespaces[isolation.Mount] = number[isolation.Mount]
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestNumberThatIsUsedAgainByAProcessThatIsKnownIsAnotherNamespace(t *testing.T) {
	w := newWorld(t)
	former := w.pod("former")
	number := former.run("app").first().Namespaces[isolation.Mount]
	app := w.pod("web").run("app")
	child := app.first().fork()
	w.confirmed()
	former.gone()
	child.Namespaces[isolation.Mount] = number
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}

func TestOwnerIsCalledByTheNameThatIsKnownByNow(t *testing.T) {
	w := newWorld(t)
	intruder, victim := w.pod("intruder").run("app"), w.pod("victim").run("app")
	name := victim.Pod
	victim.Pod, victim.pod.sandbox.Pod = isolation.PodRef{UID: name.UID}, isolation.PodRef{UID: name.UID}
	intruder.first().fork().enter(victim.first(), isolation.Network)
	o := w.confirmed()
	if owner := o.Findings[0].Evidence.Owner; owner != "pod uid-victim" {
		t.Errorf("owner %q", owner)
	}
	victim.Pod, victim.pod.sandbox.Pod = name, name
	o = w.later(time.Second)
	if owner := o.Findings[0].Evidence.Owner; owner != "ns/victim" {
		t.Errorf("owner %q", owner)
	}
}

func TestPodWhoseUIDBecomesKnownIsTheSamePod(t *testing.T) {
	w := newWorld(t)
	// A static pod: until its mirror is known it goes by the hash in its cgroup.
	static := w.podWithoutSandbox("static")
	setup := static.run("setup")
	app := static.run("app")
	app.first().enter(setup.first(), isolation.Network, isolation.IPC, isolation.UTS)
	for _, c := range []*container{setup, app} {
		c.Pod = isolation.PodRef{UID: "0123456789abcdef"}
	}
	w.confirmed()
	setup.gone()
	app.Pod = static.ref
	o := w.confirmed()
	expectTold(t, o)
	expectLevels(t, o, app, clean)
}
