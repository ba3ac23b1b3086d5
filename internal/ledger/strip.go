// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Strip drops from a pod what says nothing about isolation, and keeps the rest: a field that a later
// check reads must not be missing here and pass for want of being there. Pods are by far the most of
// what is in the manager's memory.
func Strip(pod *corev1.Pod) {
	pod.ManagedFields = nil
	pod.Finalizers = nil
	pod.OwnerReferences = controllerOf(pod)
	pod.Annotations = kept(pod.Annotations, corev1.MirrorPodAnnotationKey)
	stripSpec(&pod.Spec)
	pod.Status = strippedStatus(&pod.Status)
}

// controllerOf keeps the owner that made the pod: pods are told of by it.
func controllerOf(pod *corev1.Pod) []metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return nil
	}
	return []metav1.OwnerReference{{
		APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name, UID: owner.UID, Controller: owner.Controller,
	}}
}

func kept(annotations map[string]string, key string) map[string]string {
	if value, ok := annotations[key]; ok {
		return map[string]string{key: value}
	}
	return nil
}

func stripSpec(s *corev1.PodSpec) {
	s.Affinity = nil
	s.Tolerations = nil
	s.TopologySpreadConstraints = nil
	s.NodeSelector = nil
	s.ReadinessGates = nil
	s.ImagePullSecrets = nil
	s.HostAliases = nil
	s.DNSConfig = nil
	s.Overhead = nil
	for i := range s.InitContainers {
		stripContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		stripContainer(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		// The API keeps the two types field by field alike for this conversion.
		stripContainer((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
	for i := range s.Volumes {
		stripVolume(&s.Volumes[i].VolumeSource)
	}
}

func stripContainer(c *corev1.Container) {
	c.Command = nil
	c.Args = nil
	c.Env = nil
	c.EnvFrom = nil
	c.WorkingDir = ""
	c.TerminationMessagePath = ""
	c.Resources = corev1.ResourceRequirements{}
	c.ResizePolicy = nil
}

// stripVolume keeps of which kind a volume is. Most are projected tokens and ConfigMaps.
func stripVolume(v *corev1.VolumeSource) {
	if v.Projected != nil {
		v.Projected = &corev1.ProjectedVolumeSource{}
	}
	if v.ConfigMap != nil {
		v.ConfigMap = &corev1.ConfigMapVolumeSource{}
	}
	if v.Secret != nil {
		v.Secret = &corev1.SecretVolumeSource{}
	}
	if v.DownwardAPI != nil {
		v.DownwardAPI = &corev1.DownwardAPIVolumeSource{}
	}
}

// strippedStatus keeps what runningSince reads.
func strippedStatus(s *corev1.PodStatus) corev1.PodStatus {
	out := corev1.PodStatus{Phase: s.Phase, StartTime: s.StartTime}
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Type == corev1.PodInitialized {
			out.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime}}
		}
	}
	for i := range s.ContainerStatuses {
		c := &s.ContainerStatuses[i]
		kept := corev1.ContainerStatus{Name: c.Name, RestartCount: min(c.RestartCount, 1)}
		if r := c.State.Running; r != nil {
			kept.State.Running = &corev1.ContainerStateRunning{StartedAt: r.StartedAt}
		}
		if t := c.State.Terminated; t != nil {
			kept.State.Terminated = &corev1.ContainerStateTerminated{StartedAt: t.StartedAt}
		}
		out.ContainerStatuses = append(out.ContainerStatuses, kept)
	}
	return out
}
