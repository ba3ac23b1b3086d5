// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apivalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// eventStore is an API server that has events, or does not answer.
type eventStore struct {
	client.Client
	mu     sync.Mutex
	events map[string]*eventsv1.Event
	broken error
}

func (s *eventStore) Create(ctx context.Context, o client.Object, _ ...client.CreateOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := o.(*eventsv1.Event)
	switch {
	case !ok:
		return fmt.Errorf("nobody should create %T", o)
	case s.broken != nil:
		return s.broken
	case ctx.Err() != nil:
		return ctx.Err()
	case s.events[e.Name] != nil:
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, e.Name)
	}
	if s.events == nil {
		s.events = make(map[string]*eventsv1.Event)
	}
	s.events[e.Name] = e
	return nil
}

func of(pods ...string) []announcement {
	var out []announcement
	for _, p := range pods {
		out = append(out, announcement{
			regarding: &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: p, UID: types.UID("uid-" + p)},
			kind:      corev1.EventTypeWarning, reason: "Breach", action: "Judge/pid", note: "why",
		})
	}
	return out
}

func TestWhatWasToldByAnotherIsNotToldAgain(t *testing.T) {
	g := NewWithT(t)
	store := &eventStore{}
	for _, instance := range []string{"one", "other"} {
		g.Expect(newEventTeller(store, clock.RealClock{}, instance).tell(t.Context(), of("a", "b"))).To(BeZero())
	}
	g.Expect(store.events).To(HaveLen(2))
	for _, e := range store.events {
		g.Expect(e.ReportingInstance).To(Equal("one"))
	}
	again := of("a")
	again[0].turn = "2"
	newEventTeller(store, clock.RealClock{}, "one").tell(t.Context(), again)
	g.Expect(store.events).To(HaveLen(3), "what came back later is another event")
}

func TestAnEventThatCannotBeWrittenIsKept(t *testing.T) {
	g := NewWithT(t)
	store := &eventStore{broken: errors.New("gone")}
	teller := newEventTeller(store, clock.RealClock{}, "one")
	g.Expect(teller.tell(t.Context(), of("a", "b"))).To(Equal(2))
	g.Expect(teller.tell(t.Context(), of("c"))).To(Equal(3))
	store.broken = nil
	g.Expect(teller.tell(t.Context(), nil)).To(BeZero())
	g.Expect(store.events).To(HaveLen(3))
}

func TestAnEventThatIsRefusedIsNotTriedForEver(t *testing.T) {
	g := NewWithT(t)
	for _, refusal := range []error{
		apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "a", errors.New("no")),
		apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "a", nil),
		apierrors.NewBadRequest("no"),
		apierrors.NewRequestEntityTooLargeError("no"),
	} {
		g.Expect(newEventTeller(&eventStore{broken: refusal}, clock.RealClock{}, "one").tell(t.Context(), of("a"))).To(BeZero())
	}
}

func TestNoMoreEventsAreKeptThanFit(t *testing.T) {
	g := NewWithT(t)
	teller := newEventTeller(&eventStore{broken: errors.New("gone")}, clock.RealClock{}, "one")
	for i := range 3 {
		teller.tell(t.Context(), of(strings.Fields(strings.Repeat(fmt.Sprintf("pod-%d ", i), maxUntold/2))...))
	}
	g.Expect(teller.untold).To(HaveLen(maxUntold))
	g.Expect(teller.untold[maxUntold-1].regarding.Name).To(Equal("pod-2"), "the oldest go first")
}

func TestAnEventHasANameThatIsValid(t *testing.T) {
	g := NewWithT(t)
	for _, name := range []string{"a", strings.Repeat("a", 253), strings.Repeat("a.", 126) + "a"} {
		got := of(name)[0].name()
		g.Expect(apivalidation.IsDNS1123Subdomain(got)).To(BeEmpty(), got)
	}
}
