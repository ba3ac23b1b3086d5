// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// runningSince tells when a pod came to run: when the last of its containers was started for the
// first time, for until then its phase is Pending. While it is, and one of them runs all the same, that
// is when the first was started: who starts one after the other has not just come. ok is false if nothing
// of it runs.
//
// Of a container that was started again the API does not tell when that was first. Then it is
// taken to be the end of initialization, which is earlier: a pod that keeps crashing must not stay
// young forever.
func runningSince(pod *corev1.Pod) (since time.Time, ok bool) {
	s := &pod.Status
	switch s.Phase {
	case corev1.PodRunning:
		ok = true
		for i := range s.ContainerStatuses {
			if t := firstStart(pod, &s.ContainerStatuses[i]); t.After(since) {
				since = t
			}
		}
	case corev1.PodPending:
		for _, all := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
			for i := range all {
				ok = ok || all[i].State.Running != nil
				if t := firstStart(pod, &all[i]); !t.IsZero() && (since.IsZero() || t.Before(since)) {
					since = t
				}
			}
		}
	}
	if ok && since.IsZero() {
		since = startOf(pod)
	}
	return since, ok
}

// firstStart is when the container was started for the first time; zero if that is not known.
func firstStart(pod *corev1.Pod, c *corev1.ContainerStatus) time.Time {
	if c.RestartCount > 0 {
		for i := range pod.Status.Conditions {
			if p := &pod.Status.Conditions[i]; p.Type == corev1.PodInitialized && p.Status == corev1.ConditionTrue {
				return p.LastTransitionTime.Time
			}
		}
		return startOf(pod)
	}
	switch {
	case c.State.Running != nil:
		return c.State.Running.StartedAt.Time
	case c.State.Terminated != nil:
		return c.State.Terminated.StartedAt.Time
	default:
		return time.Time{}
	}
}

// startOf is when the kubelet, or else the API server, came to know the pod.
func startOf(pod *corev1.Pod) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return pod.CreationTimestamp.Time
}
