// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
)

// mortal is a leader that ends in mid-write: from its last write on nothing of what it does gets through, and
// whether the last one did it does not learn.
type mortal struct {
	// last of its writes, counted from 1, and whether that one gets through.
	last     int32
	performs bool
	// counts tells which writes count.
	counts func(client.Object) bool
	writes atomic.Int32
	ended  atomic.Bool
}

var errDead = errors.New("the leader ended")

// try does a write, as long as the leader lives.
func (m *mortal) try(o client.Object, do func() error) error {
	if !m.counts(o) {
		if m.dead() {
			return errDead
		}
		return do()
	}
	switch n := m.writes.Add(1); {
	case n < m.last:
		return do()
	case n == m.last && m.performs:
		_ = do()
	}
	m.ended.Store(true)
	return errDead
}

func (m *mortal) dead() bool { return m.writes.Load() >= m.last }

// client is the leader's.
func (m *mortal) client(config *rest.Config, o client.Options) (client.Client, error) {
	through, err := client.NewWithWatch(config, o)
	if err != nil {
		return nil, err
	}
	return interceptor.NewClient(through, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return m.try(o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return m.try(o, func() error { return c.Update(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return m.try(o, func() error { return c.SubResource(name).Update(ctx, o, opts...) })
		},
		SubResourceCreate: func(ctx context.Context, c client.Client, name string, o, sub client.Object, opts ...client.SubResourceCreateOption) error {
			return m.try(sub, func() error { return c.SubResource(name).Create(ctx, o, sub, opts...) })
		},
	}), nil
}

// telling are writes of events about a namespace's pods and of policies' status, evicting those of evictions
// and of what is written down of them.
func telling(namespace string) func(client.Object) bool {
	return func(o client.Object) bool {
		switch o := o.(type) {
		case *v1alpha1.IsolationPolicy:
			return true
		case *eventsv1.Event:
			return o.Namespace == namespace
		}
		return false
	}
}

func evictions(o client.Object) bool {
	switch o := o.(type) {
	case *policyv1.Eviction:
		return true
	case *coordinationv1.Lease:
		return o.Name == v1alpha1.EvictionsLeaseName
	}
	return false
}

var _ = Describe("A leader that ends in mid-write", func() {
	for last := int32(1); last <= 3; last++ {
		for _, performs := range []bool{false, true} {
			how := map[bool]string{false: "before", true: "after"}[performs]
			It(fmt.Sprintf("at write %d, %s it got through: the next one tells of each beginning and end once", last, how), func(ctx context.Context) {
				namespace, a := aNamespace(ctx), anAgent(ctx)
				web := running(ctx, namespace, "web", a.node, time.Hour)
				calm := running(ctx, namespace, "calm", a.node, time.Hour)
				p := aPolicy(ctx, namespace)
				a.sees(ctx, at(onHostPID(), calm), at(isolated, web))
				stop := start()
				Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 2, Breached: 1, Compliant: 1}))
				Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ConsistOf("calm Warning Breach 1"))
				stop()

				m := &mortal{last: last, performs: performs, counts: telling(namespace)}
				a.sees(ctx, at(onHostPID(), web), at(isolated, calm))
				end := startWith(server.Config, controllers.Options{}, m.client)
				Eventually(m.ended.Load).WithTimeout(soon).Should(BeTrue(), "it has something to write")
				end()
				start()
				all := ConsistOf("calm Warning Breach 1", "calm Normal IsolationRestored 1", "web Warning Breach 1")
				Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(all)
				Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(HaveField("Findings", ConsistOf(HaveField("Pod", "web"))))
				Consistently(eventsOn(ctx, namespace)).WithTimeout(while).Should(all)
			})
		}
	}

	It("while a node's agent is silent: what it had found is neither told again nor forgotten", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour)
		calm := running(ctx, namespace, "calm", a.node, time.Hour)
		p := aPolicy(ctx, namespace)
		a.sees(ctx, at(onHostPID(), web, calm))
		stop := start()
		begun := ConsistOf("calm Warning Breach 1", "web Warning Breach 1")
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(begun)
		a.renewed(ctx, time.Hour)
		outOfSight := HaveField("OutOfSight", HaveExactElements(HaveField("Pod", "calm"), HaveField("Pod", "web")))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(counts(v1alpha1.PodCounts{Matched: 2, Unverified: 2}), outOfSight))
		stop()

		start()
		Consistently(statusOf(ctx, p)).WithTimeout(while).Should(outOfSight)
		a.sees(ctx, at(onHostPID(), web), at(isolated, calm))
		a.renewed(ctx, 0)
		all := ConsistOf("calm Warning Breach 1", "web Warning Breach 1", "calm Normal IsolationRestored 1")
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(all)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 2, Breached: 1, Compliant: 1}), HaveField("OutOfSight", BeEmpty())))
		Consistently(eventsOn(ctx, namespace)).WithTimeout(while).Should(all)
	})

	const writtenDown, done = 2, 3 // the first one only tries
	for _, end := range []struct {
		last     int32
		performs bool
		goes     []string
	}{{writtenDown, true, nil}, {done, false, nil}, {done, true, []string{"web"}}} {
		It(fmt.Sprintf("at write %d of an eviction (%t): the next one tells of it if it was done, and does it no second time", end.last, end.performs), func(ctx context.Context) {
			forget(ctx)
			permit(ctx, true)
			namespace, a := aNamespace(ctx), anAgent(ctx)
			web := running(ctx, namespace, "web", a.node, time.Hour, ownedBy("uid-rs"))
			a.sees(ctx, at(onHostPID(), web))
			p := aPolicy(ctx, namespace, evicting)
			m := &mortal{last: end.last, performs: end.performs, counts: evictions}
			stop := startWith(server.AsManager(), hastily(), m.client)
			Eventually(func(g Gomega) bool { going(ctx, []*agent{a})(g); return m.ended.Load() }).WithTimeout(soon).Should(BeTrue())
			stop()
			Expect(going(ctx, nil, web)(NewWithT(GinkgoT()))).To(ConsistOf(end.goes))
			startWith(server.AsManager(), hastily(), nil)
			if end.goes == nil {
				Eventually(func(g Gomega) []string { going(ctx, []*agent{a})(g); return policyEvents(ctx, p)(g) }).WithTimeout(soon).
					Should(ContainElement(HavePrefix("NotEvicted Evict/BackedOff")), "what was written down counts")
				Expect(eventsOn(ctx, namespace)()).NotTo(ContainElement(ContainSubstring(" Evicted ")))
			} else {
				Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ContainElement("web Warning Evicted 1"))
			}
			Consistently(going(ctx, []*agent{a}, web)).WithTimeout(2 * while).Should(ConsistOf(end.goes))
			Expect(history(ctx)(NewWithT(GinkgoT()))).To(HaveLen(1))
		})
	}
})
