// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Grant is what a pod's spec asks the node for on behalf of one container.
type Grant struct {
	// Privileged lifts all limits but the namespaces.
	Privileged bool
	// Capabilities that the container's processes may have.
	Capabilities Capabilities
	// Unmasked is set if /proc is asked for without masks.
	Unmasked bool
	// NoNewPrivileges is set if the spec promises that processes gain none
	// (allowPrivilegeEscalation: false), and Filtered if it promises a seccomp filter.
	NoNewPrivileges, Filtered bool
	// Plugins is set if the container asks for devices that a device plugin or a resource driver brings:
	// they bring mounts along of which the spec says nothing. So does NVIDIA's runtime class, unasked.
	Plugins bool
	// HostPID and HostIPC are set if the pod asks for the node's namespaces, to which a /proc and
	// a /dev/shm belong.
	HostPID, HostIPC bool
	// Mounts are the volumes that the container mounts.
	Mounts []GrantedMount
}

// GrantedMount is a volume in a container.
type GrantedMount struct {
	// Point is where it is mounted, clean.
	Point string
	// HostPath is what of the node is mounted, clean; empty for volumes that are no folder of the node.
	HostPath string
	// Own is set if the kubelet makes the volume for this pod: it is in the pod's folder.
	Own bool
	// ReadOnly is set if the container may not write.
	ReadOnly bool
	// Propagation is set if mounts may travel.
	Propagation bool
}

// Points are where the container mounts volumes: what is mounted there is read even if the node does not have its file
// system, so that what covers a volume is not taken for it. None if it is not known what the spec asks for.
func (g *Grant) Points() map[string]bool {
	points := make(map[string]bool)
	if g != nil {
		for i := range g.Mounts {
			points[g.Mounts[i].Point] = true
		}
	}
	return points
}

// GrantOf is what a pod's spec asks for on behalf of the container of that name, init and ephemeral
// containers included. ok is false if the spec has no such container.
func GrantOf(spec *corev1.PodSpec, name string) (g Grant, ok bool) {
	c := containerOf(spec, name)
	if c == nil {
		return Grant{}, false
	}
	g.HostPID, g.HostIPC = spec.HostPID, spec.HostIPC
	g.secure(spec.SecurityContext, c.SecurityContext)
	for resource := range c.Resources.Limits {
		g.Plugins = g.Plugins || extended(resource)
	}
	g.Plugins = g.Plugins || len(c.Resources.Claims) > 0 || len(c.VolumeDevices) > 0 ||
		spec.RuntimeClassName != nil && strings.HasPrefix(*spec.RuntimeClassName, "nvidia")
	volumes := make(map[string]*corev1.Volume, len(spec.Volumes))
	for i := range spec.Volumes {
		volumes[spec.Volumes[i].Name] = &spec.Volumes[i]
	}
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		granted := GrantedMount{
			Point: realPoint(m.MountPath), ReadOnly: m.ReadOnly,
			Propagation: m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone,
		}
		if v := volumes[m.Name]; v != nil {
			granted.Own = v.EmptyDir != nil || v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil
			if v.HostPath != nil {
				granted.HostPath = realPoint(path.Join("/", v.HostPath.Path, m.SubPath))
			}
		}
		g.Mounts = append(g.Mounts, granted)
	}
	return g, true
}

// secure reads the security contexts. What the container says goes before what the pod says.
func (g *Grant) secure(pod *corev1.PodSecurityContext, own *corev1.SecurityContext) {
	g.Capabilities = DefaultCapabilities
	seccomp := (*corev1.SeccompProfile)(nil)
	if pod != nil {
		seccomp = pod.SeccompProfile
	}
	if own != nil {
		if own.SeccompProfile != nil {
			seccomp = own.SeccompProfile
		}
		g.Privileged = own.Privileged != nil && *own.Privileged
		g.Unmasked = own.ProcMount != nil && *own.ProcMount == corev1.UnmaskedProcMount
		g.NoNewPrivileges = own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation
		if own.Capabilities != nil {
			g.Capabilities = DefaultCapabilities.changed(own.Capabilities)
		}
	}
	if g.Privileged {
		g.Capabilities, g.Unmasked = AllCapabilities, true
		return // the runtime filters no calls of a privileged container, whatever its profile says
	}
	g.Filtered = seccomp != nil && (seccomp.Type == corev1.SeccompProfileTypeRuntimeDefault || seccomp.Type == corev1.SeccompProfileTypeLocalhost)
}

// containerOf finds a container of any kind; nil if there is none.
func containerOf(spec *corev1.PodSpec, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	for i := range spec.EphemeralContainers {
		if e := &spec.EphemeralContainers[i]; e.Name == name {
			// The API keeps the two types field by field alike for this conversion.
			return (*corev1.Container)(&e.EphemeralContainerCommon)
		}
	}
	return nil
}

// extended tells whether a device plugin gives the resource: its name has a domain that is not
// Kubernetes' own.
func extended(name corev1.ResourceName) bool {
	domain, _, ok := strings.Cut(string(name), "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// realPoint is a path as the kernel names it, as far as that can be told from here: /var/run is a link
// to /run (FHS 3.0), on nodes and in images.
func realPoint(p string) string {
	p = path.Clean("/" + p)
	if isolation.Within(p, "/var/run") {
		p = strings.TrimPrefix(p, "/var")
	}
	return p
}
