// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

// askingFor has that many pods whose specs ask for what they were seen with.
func (b *breached) askingFor(pods int) {
	b.scene.Pods = nil
	var names []string
	for i := range pods {
		name := fmt.Sprintf("pod-%03d", i)
		pod := running(name, time.Hour)
		pod.Spec.HostPID = true
		b.scene.Pods = append(b.scene.Pods, pod)
		names = append(names, name)
	}
	b.scene.Reports["one"] = report("one", group(onHostPID(), names...))
}

func TestWhatIsNotEvictedIsToldOnceAndOfSoManyPodsOnly(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	b.askingFor(maxTold + 10)
	b.look(now.Add(time.Second))
	g.Expect(*b.events).To(HaveLen(maxTold+1), "each pod, and the policy")
	b.look(now.Add(6 * time.Second))
	g.Expect(*b.events).To(HaveLen(maxTold + 1))
	b.scene.Pods = b.scene.Pods[5:]
	b.look(now.Add(11 * time.Second))
	g.Expect(*b.events).To(HaveLen(maxTold+1+5), "there is room for five others")
}

func TestEvictionsAreCountedByPolicyAndOutcomeAlone(t *testing.T) {
	g := NewWithT(t)
	m := evictionMetrics()
	b := aBreach()
	before := testutil.ToFloat64(m.tries.WithLabelValues("all", string(eviction.Evicted)))
	b.look(now.Add(90 * time.Second))
	g.Expect(testutil.ToFloat64(m.tries.WithLabelValues("all", string(eviction.Evicted))) - before).To(Equal(1.0))
	b.askingFor(7)
	b.look(now.Add(95 * time.Second))
	g.Expect(testutil.CollectAndCount(m.candidates)).To(Equal(1))
	g.Expect(testutil.ToFloat64(m.candidates.WithLabelValues("all", string(eviction.AskedFor)))).To(Equal(7.0))

	b.pass(t.Context(), &offer{})
	g.Expect(testutil.CollectAndCount(m.candidates)).To(BeZero())
	g.Expect(testutil.CollectAndCount(m.tries)).To(BeZero(), "no policy evicts any more")
}

func TestEveryEvictionIsToldOnPodAndPolicy(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	var regarding []string
	b.teller = tellerFunc(func(a *announcement) {
		regarding = append(regarding, a.regarding.Kind+" "+a.regarding.Name+" "+a.reason+" "+a.note)
	})
	b.look(now.Add(90 * time.Second))
	g.Expect(regarding).To(Equal([]string{
		"Pod a Evicted policy all: Breach: pid was observed as Host, Container is required",
		"IsolationPolicy all Evicted policy all: pod shop/a: Breach: pid was observed as Host, Container is required",
	}))
}

func TestALeaderTellsWhatTheOneBeforeItEvictedAndDidNotTell(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	untold, told := map[string]string{}, map[string]string{}
	b.teller = tellerFunc(func(a *announcement) { untold[a.name()] = a.note })
	b.look(now.Add(90 * time.Second))
	g.Expect(untold).To(HaveLen(2))

	b.pod, b.scene.Pods = nil, nil // it is gone
	next := newEvictor(b.server, b.server, tellerFunc(func(a *announcement) { told[a.name()] = a.note }),
		&Options{InstallNamespace: "bulkhead-system", Clock: b.clock, Eviction: ptr.To(eviction.DefaultLimits())}, nil)
	b.evictor = next
	b.look(now.Add(100 * time.Second))
	g.Expect(slices.Collect(maps.Keys(told))).To(ConsistOf(slices.Collect(maps.Keys(untold))), "under the same names")
	g.Expect(slices.Collect(maps.Values(told))).To(ContainElement(ContainSubstring("evicted at")))
	clear(told)
	b.look(now.Add(110 * time.Second))
	g.Expect(told).To(BeEmpty())
}

func TestALeaderDoesNotTellThatAPodWasEvictedThatIsStillThere(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	b.look(now.Add(90 * time.Second))
	b.evictor = newEvictor(b.server, b.server, b.events,
		&Options{InstallNamespace: "bulkhead-system", Clock: b.clock, Eviction: ptr.To(eviction.DefaultLimits())}, nil)
	*b.events = nil
	b.look(now.Add(100 * time.Second))
	g.Expect(*b.events).NotTo(ContainElement("Evicted"))
}

// tellerFunc takes what is told.
type tellerFunc func(*announcement)

func (f tellerFunc) tell(_ context.Context, all []announcement) int {
	for i := range all {
		f(&all[i])
	}
	return 0
}
