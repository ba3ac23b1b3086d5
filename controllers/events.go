// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// eventSource names who tells the events.
	eventSource = "bulkhead.dev/controller"
	// maxNote is how long the API server lets the note of an event be.
	maxNote = 1024
	// tellers is how many events are written at once.
	tellers = 8
	// tellingTimeout is how long a round of events may take before what they are told of goes on without them.
	tellingTimeout = 5 * time.Second
	// maxUntold is how many events are kept that could not be written: more than the findings that fifty
	// policies list.
	maxUntold = 5000
)

// announcement is an event to be told.
type announcement struct {
	regarding, related         *corev1.ObjectReference
	kind, reason, action, note string
	// turn tells this event from one that says the same of another time.
	turn string
}

// name of the event: the same for whoever tells it. A leader that ends between telling and writing down what
// it told of is followed by one that tells it again, and finds it told.
func (a *announcement) name() string {
	related := ""
	if a.related != nil {
		related = string(a.related.UID)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(a.regarding.UID), related, a.reason, a.action, a.turn}, "\x00")))
	// As long as the names of events are: that of the object, and something behind it.
	regarding := a.regarding.Name
	return strings.TrimRight(regarding[:min(len(regarding), 200)], ".-") + "." + hex.EncodeToString(sum[:8])
}

// event as the API server keeps it.
func (a *announcement) event(now time.Time, instance string) *eventsv1.Event {
	namespace := a.regarding.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: namespace, Name: a.name()},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: eventSource, ReportingInstance: instance,
		Regarding: *a.regarding, Related: a.related,
		Type: a.kind, Reason: a.reason, Action: a.action, Note: a.note,
	}
}

// teller tells events.
type teller interface {
	// tell tells them, each once however often it is told to. It gives up in time, for nothing waits for an
	// event, and returns how many are still to be told: with the next ones, or with none.
	tell(ctx context.Context, all []announcement) (left int)
}

// eventTeller writes events. What could not be written is tried again with the next ones.
type eventTeller struct {
	client   client.Client
	clock    clock.PassiveClock
	instance string

	mu     sync.Mutex
	untold []announcement
}

func newEventTeller(c client.Client, clock clock.PassiveClock, instance string) *eventTeller {
	return &eventTeller{client: c, clock: clock, instance: instance}
}

func (t *eventTeller) tell(ctx context.Context, all []announcement) (left int) {
	t.mu.Lock()
	all = append(t.untold, all...)
	t.untold = nil
	t.mu.Unlock()
	if len(all) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, tellingTimeout)
	defer cancel()
	next := make(chan int)
	failed := make([]bool, len(all))
	var workers sync.WaitGroup
	for range min(tellers, len(all)) {
		workers.Go(func() {
			for i := range next {
				failed[i] = !t.write(ctx, &all[i])
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range all {
		if failed[i] {
			t.untold = append(t.untold, all[i])
		}
	}
	if over := len(t.untold) - maxUntold; over > 0 {
		log.FromContext(ctx).Info("Events could not be written, and are not kept any longer", "events", over)
		t.untold = slices.Delete(t.untold, 0, over)
	}
	return len(t.untold)
}

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// write writes one event. False is worth another try.
func (t *eventTeller) write(ctx context.Context, a *announcement) bool {
	err := t.client.Create(ctx, a.event(t.clock.Now(), t.instance))
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return true
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		// Its namespace goes, and would take it along.
		return true
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		log.FromContext(ctx).Error(err, "An event was refused", "reason", a.reason, "regarding", a.regarding.Name, "namespace", a.regarding.Namespace)
		return true
	}
	return false
}
