// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// runningSince tells when a pod came to run: when the last of its containers was started for the
// first time, or of those that run while others are not started yet, for until then its phase is
// Pending. ok is false if nothing of it runs.
//
// Of a container that was started again the API does not tell when that was first. Then it is
// taken to be the end of initialization, which is earlier: a pod that keeps crashing must not stay
// young forever.
func runningSince(pod *corev1.Pod) (since time.Time, ok bool) {
	s := &pod.Status
	switch s.Phase {
	case corev1.PodRunning:
		since, ok = lastStart(pod, s.ContainerStatuses, func(corev1.ContainerStatus) bool { return true }), true
	case corev1.PodPending:
		for _, all := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
			if slices.ContainsFunc(all, isRunning) {
				ok = true
				if t := lastStart(pod, all, isRunning); t.After(since) {
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

func isRunning(c corev1.ContainerStatus) bool { return c.State.Running != nil }

// lastStart is when the last of those containers was started for the first time; zero if that is not known.
func lastStart(pod *corev1.Pod, all []corev1.ContainerStatus, which func(corev1.ContainerStatus) bool) (last time.Time) {
	for i := range all {
		if !which(all[i]) {
			continue
		}
		if t := firstStart(pod, &all[i]); t.After(last) {
			last = t
		}
	}
	return last
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
