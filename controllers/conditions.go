// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func accepted() metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonAccepted, Message: "the policy is valid",
	}
}

// rejected are the conditions of a policy that cannot be compiled: nothing of it holds.
func rejected(err error) []metav1.Condition {
	out := make([]metav1.Condition, 0, 3)
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionEnforced, v1alpha1.ConditionVerified} {
		out = append(out, metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid,
			Message: isolation.Sanitize(err.Error(), 1024),
		})
	}
	return out
}

// settling is what the condition Verified rests on.
type settling struct {
	// running pods; verified of them were observed at or above what is required, young are not
	// yet old enough to be held to it.
	running, verified, young int
	breached                 int
	// bad are the pods in the way, the first few by name.
	bad   int
	names []string
	again time.Time
}

// settle takes a pod into account. What was seen to be open counts at once; not having been seen
// counts when the pod has been running for a while.
func (s *settling) settle(pod *corev1.Pod, a *isolation.Assessment, now time.Time) {
	since, running := runningSince(pod)
	switch {
	case a.Class == isolation.Breached:
		s.breached++
	case !running:
		return
	case a.Verified:
		s.running++
		s.verified++
		return
	case now.Sub(since) < settleAfter:
		s.running++
		s.young++
		if at := since.Add(settleAfter); s.again.IsZero() || at.Before(s.again) {
			s.again = at
		}
		return
	}
	s.running++
	s.bad++
	if len(s.names) < 3 {
		s.names = append(s.names, pod.Namespace+"/"+pod.Name)
	}
}

// runningSince is when the last of the pod's containers started.
func runningSince(pod *corev1.Pod) (since time.Time, running bool) {
	if pod.Status.Phase != corev1.PodRunning {
		return since, false
	}
	if pod.Status.StartTime != nil {
		since = pod.Status.StartTime.Time
	}
	for i := range pod.Status.ContainerStatuses {
		if r := pod.Status.ContainerStatuses[i].State.Running; r != nil && r.StartedAt.After(since) {
			since = r.StartedAt.Time
		}
	}
	return since, true
}

// verifiedCondition is the condition Verified. It is never True because nothing has been looked at yet.
func (s *settling) verifiedCondition() metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionVerified}
	switch {
	case s.bad > 0:
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonUnverified
		if s.breached > 0 {
			c.Reason = v1alpha1.ReasonBreached
		}
		more := ""
		if s.bad > len(s.names) {
			more = ", …"
		}
		c.Message = fmt.Sprintf("%d of %d running pods were not observed at what is required: %s%s",
			s.bad, s.running, strings.Join(s.names, ", "), more)
	case s.verified > 0:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonObserved
		c.Message = "every running pod was observed at or above what is required"
		if s.young > 0 {
			c.Message = "every pod that has been running for a minute was observed at or above what is required"
		}
	case s.young > 0:
		c.Status, c.Reason = metav1.ConditionUnknown, v1alpha1.ReasonLooking
		c.Message = "no running pod has been observed yet"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonNoPods, "no pod that the policy matches is running"
	}
	return c
}
