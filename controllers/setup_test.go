// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

func TestARenewalInTimeIsNoNews(t *testing.T) {
	lease := func(kind string, ago time.Duration, served string) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{
				Labels: map[string]string{v1alpha1.LabelLease: kind}, Annotations: map[string]string{v1alpha1.AnnotationServed: served},
			},
			Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NewMicroTime(now.Add(-ago)))},
		}
	}
	const agent, replica = v1alpha1.LeaseAgent, v1alpha1.LeaseWebhook
	news := leaseChanged(clocktesting.NewFakePassiveClock(now))
	for name, test := range map[string]struct {
		before, now *coordinationv1.Lease
		news        bool
	}{
		"an agent in time":                   {lease(agent, 40*time.Second, ""), lease(agent, 0, ""), false},
		"a replica in time":                  {lease(replica, 10*time.Second, "{}"), lease(replica, 0, "{}"), false},
		"a replica that serves other things": {lease(replica, 10*time.Second, "{}"), lease(replica, 0, `{"a": 1}`), true},
		"an agent that was silent":           {lease(agent, 121*time.Second, ""), lease(agent, 0, ""), true},
		"a replica that was silent":          {lease(replica, 31*time.Second, "{}"), lease(replica, 0, "{}"), true},
		"an agent that goes back in time":    {lease(agent, 0, ""), lease(agent, time.Second, ""), true},
		"an agent from the future":           {lease(agent, 0, ""), lease(agent, -time.Hour, ""), true},
		"an agent that was a replica":        {lease(replica, 0, ""), lease(agent, 0, ""), true},
		"somebody else's":                    {lease("", 0, ""), lease("", -time.Hour, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(news.Update(event.UpdateEvent{ObjectOld: test.before, ObjectNew: test.now})).To(Equal(test.news))
		})
	}
}

func TestWhatIsNotJudgedOfAPodIsNoNews(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		news   bool
	}{
		"it became ready":             {func(p *corev1.Pod) { p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}} }, false},
		"it was annotated":            {func(p *corev1.Pod) { p.ResourceVersion, p.Annotations = "2", map[string]string{"a": "b"} }, false},
		"it got a debug container":    {func(p *corev1.Pod) { p.Spec.EphemeralContainers = make([]corev1.EphemeralContainer, 1) }, true},
		"it was labelled":             {func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, true},
		"it was put on another node":  {func(p *corev1.Pod) { p.Spec.NodeName = "two" }, true},
		"it ended":                    {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, true},
		"it was made anew, elsewhere": {func(p *corev1.Pod) { p.UID = "another" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			before, now := running("a", time.Hour), running("a", time.Hour)
			test.change(&now)
			NewWithT(t).Expect(podChanged.Update(event.UpdateEvent{ObjectOld: ledger.Keep(&before), ObjectNew: ledger.Keep(&now)})).To(Equal(test.news))
		})
	}
}
