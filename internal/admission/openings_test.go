// SPDX-License-Identifier: Apache-2.0

package admission

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// An opening is something that a policy with everyPortal forbids.
type opening struct {
	name string
	// pod and container ask for it; one of them is nil.
	pod       func(*corev1.PodSpec)
	container func(*corev1.Container)
}

// openings are at least one for each axis that can be given up and for each portal.
var openings = []opening{
	{name: "pid", pod: func(s *corev1.PodSpec) { s.HostPID = true }},
	{name: "pid", pod: func(s *corev1.PodSpec) { s.ShareProcessNamespace = ptr.To(true) }},
	{name: "network", pod: func(s *corev1.PodSpec) { s.HostNetwork = true }},
	{name: "ipc", pod: func(s *corev1.PodSpec) { s.HostIPC = true }},
	{name: "hostPaths", pod: func(s *corev1.PodSpec) { s.Volumes = append(s.Volumes, nodeVolume("data", "/data")) }},
	{name: "devices", pod: func(s *corev1.PodSpec) { s.Volumes = append(s.Volumes, nodeVolume("dev", "/dev/kvm")) }},
	{name: "runtimeSockets", pod: func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, nodeVolume("sock", "/run/containerd/containerd.sock"))
	}},
	{name: "windowsHostProcess", pod: func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}}
	}},
	{name: "privileged", container: func(c *corev1.Container) { secured(c).Privileged = ptr.To(true) }},
	{name: "procMount", container: func(c *corev1.Container) { secured(c).ProcMount = ptr.To(corev1.UnmaskedProcMount) }},
	{name: "capabilities", container: func(c *corev1.Container) {
		secured(c).Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}}
	}},
	{name: "windowsHostProcess", container: func(c *corev1.Container) {
		secured(c).WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}
	}},
	{name: "mountPropagation", container: func(c *corev1.Container) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "tmp", MountPath: "/shared", MountPropagation: ptr.To(corev1.MountPropagationHostToContainer)})
	}},
	{name: "devices", container: func(c *corev1.Container) {
		c.VolumeDevices = append(c.VolumeDevices, corev1.VolumeDevice{Name: "disk", DevicePath: "/dev/xvda"})
	}},
	{name: "hostPorts", container: func(c *corev1.Container) {
		c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 80, HostPort: 80})
	}},
	{name: "hostProbes", container: func(c *corev1.Container) {
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "127.0.0.1"}}}
	}},
	{name: "hostProbes", container: func(c *corev1.Container) {
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Host: "example.com"}}}
	}},
}

func secured(c *corev1.Container) *corev1.SecurityContext {
	if c.SecurityContext == nil {
		c.SecurityContext = &corev1.SecurityContext{}
	}
	return c.SecurityContext
}

func nodeVolume(name, path string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}
}

// kindsOfContainers are all lists of containers: each makes its first container and hands it out.
var kindsOfContainers = map[string]func(*corev1.PodSpec) *corev1.Container{
	"container": func(s *corev1.PodSpec) *corev1.Container { return &s.Containers[0] },
	"init container": func(s *corev1.PodSpec) *corev1.Container {
		s.InitContainers = append(s.InitContainers, corev1.Container{Name: "init", Image: "init"})
		return &s.InitContainers[len(s.InitContainers)-1]
	},
	"sidecar": func(s *corev1.PodSpec) *corev1.Container {
		s.InitContainers = append(s.InitContainers, corev1.Container{Name: "sidecar", Image: "sidecar", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)})
		return &s.InitContainers[len(s.InitContainers)-1]
	},
	"debug container": func(s *corev1.PodSpec) *corev1.Container {
		s.EphemeralContainers = append(s.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "debug"}})
		return (*corev1.Container)(&s.EphemeralContainers[len(s.EphemeralContainers)-1].EphemeralContainerCommon)
	},
}

// violating calls back with a pod for each opening in each kind of container.
func violating(try func(name, subject string, p *corev1.Pod)) {
	for _, o := range openings {
		if o.pod != nil {
			try(o.name+" of a pod", o.name, podOf(func(p *corev1.Pod) { o.pod(&p.Spec) }))
			continue
		}
		for kind, of := range kindsOfContainers {
			try(o.name+" of a "+kind, o.name, podOf(func(p *corev1.Pod) { o.container(of(&p.Spec)) }))
		}
	}
}
