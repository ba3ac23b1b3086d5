// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"

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
	pod.Status = strippedStatus(pod)
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
	s.Hostname = ""
	s.Subdomain = ""
	s.SchedulerName = ""
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
	nameToken(s)
}

// tokenVolume begins the name of the volume with the service account's token, which the API server adds
// to every pod. Five random letters follow (plugin/pkg/admission/serviceaccount in Kubernetes).
const tokenVolume = "kube-api-access"

// nameToken drops the random part of that name, so that pods of one template are the same in everything
// that is judged. A volume that has the name already keeps it to itself.
func nameToken(s *corev1.PodSpec) {
	at := -1
	for i := range s.Volumes {
		switch v := &s.Volumes[i]; {
		case v.Name == tokenVolume:
			return
		case v.Projected != nil && len(v.Name) == len(tokenVolume)+6 && strings.HasPrefix(v.Name, tokenVolume+"-"):
			at = i
		}
	}
	if at < 0 {
		return
	}
	random := s.Volumes[at].Name
	s.Volumes[at].Name = tokenVolume
	rename := func(mounts []corev1.VolumeMount) {
		for i := range mounts {
			if mounts[i].Name == random {
				mounts[i].Name = tokenVolume
			}
		}
	}
	for i := range s.InitContainers {
		rename(s.InitContainers[i].VolumeMounts)
	}
	for i := range s.Containers {
		rename(s.Containers[i].VolumeMounts)
	}
	for i := range s.EphemeralContainers {
		rename(s.EphemeralContainers[i].VolumeMounts)
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

// strippedStatus keeps the phase, and since when the pod runs in the place of when the kubelet took it:
// [runningSince] finds the same in it, and there is no container left to tell otherwise.
func strippedStatus(pod *corev1.Pod) corev1.PodStatus {
	out := corev1.PodStatus{Phase: pod.Status.Phase}
	if since, running := runningSince(pod); running {
		out.StartTime = &metav1.Time{Time: since}
	}
	return out
}
