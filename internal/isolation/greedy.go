// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// greedy is a pod of whom the exemption covers that asks for everything that a policy can demand of
// a spec. The ports are samples.
func greedy(e *v1alpha1.Exemption) *Subject {
	spec := &corev1.PodSpec{
		HostPID: true, HostNetwork: true, HostIPC: true,
		Containers: []corev1.Container{greedyContainer()},
		Volumes:    []corev1.Volume{{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}},
		SecurityContext: &corev1.PodSecurityContext{
			WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)},
		},
	}
	s := &Subject{Spec: spec, Path: "spec", NamespaceUnknown: true}
	if len(e.Namespaces) > 0 {
		s.Namespace = e.Namespaces[0]
	}
	if len(e.ServiceAccounts) > 0 {
		spec.ServiceAccountName = e.ServiceAccounts[0]
	}
	return s
}

func greedyContainer() corev1.Container {
	c := corev1.Container{
		Name: "greedy",
		SecurityContext: &corev1.SecurityContext{
			Privileged:   ptr.To(true),
			ProcMount:    ptr.To(corev1.UnmaskedProcMount),
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"ALL"}},
		},
		VolumeMounts:  []corev1.VolumeMount{{Name: "node", MountPath: "/node", MountPropagation: ptr.To(corev1.MountPropagationBidirectional)}},
		VolumeDevices: []corev1.VolumeDevice{{Name: "disk", DevicePath: "/dev/sda"}},
		LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "127.0.0.1"}}},
	}
	for _, port := range []int32{1, 80, 443, 1023, 1024, 8080, 9100, 10250, 30000, 32767, 49152, 65535} {
		c.Ports = append(c.Ports, corev1.ContainerPort{HostPort: port, ContainerPort: port})
	}
	return c
}
