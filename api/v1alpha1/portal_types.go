// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Forbid is the one value of a portal that is a switch: a portal left out is not judged.
//
// +kubebuilder:validation:Enum=Forbid
type Forbid string

// PortalForbid forbids the portal.
const PortalForbid Forbid = "Forbid"

// Allow is the one value by which an exemption opens a portal that is a switch.
//
// +kubebuilder:validation:Enum=Allow
type Allow string

// PortalAllow opens the portal for whom the exemption covers.
const PortalAllow Allow = "Allow"

// Portals are the openings that a pod can ask for beside the namespaces. A portal left out is
// not judged; `{}` and an empty list allow nothing.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.procMount)",message="procMount is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.mountPropagation)",message="mountPropagation is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.devices)",message="devices is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.runtimeSockets)",message="runtimeSockets is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it (a hostPaths allow list keeps the sockets out)"
// +kubebuilder:validation:XValidation:rule="!has(self.windowsHostProcess)",message="windowsHostProcess is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.hostProbes)",message="hostProbes is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.capabilities)",message="capabilities is not judged by this version of Bulkhead yet, and is refused so that it does not arm itself later; remove it"
type Portals struct {
	// privileged: containers with all capabilities, all devices and an unmasked /proc.
	// +optional
	Privileged Forbid `json:"privileged,omitempty"`
	// procMount: a /proc whose masks are lifted. Not judged yet.
	// +optional
	ProcMount Forbid `json:"procMount,omitempty"`
	// mountPropagation: mounts made in the container that appear on the node. Not judged yet.
	// +optional
	MountPropagation Forbid `json:"mountPropagation,omitempty"`
	// devices: block devices given to a container. Not judged yet.
	// +optional
	Devices Forbid `json:"devices,omitempty"`
	// runtimeSockets: sockets that command the container runtime or the kubelet. Not judged yet.
	// +optional
	RuntimeSockets Forbid `json:"runtimeSockets,omitempty"`
	// windowsHostProcess: Windows containers that run as processes of the host. Not judged yet.
	// +optional
	WindowsHostProcess Forbid `json:"windowsHostProcess,omitempty"`
	// hostProbes: probes and lifecycle hooks that name a host. Not judged yet.
	// +optional
	HostProbes Forbid `json:"hostProbes,omitempty"`
	// hostPaths: volumes that show a part of the node's file system.
	// +optional
	HostPaths *HostPathsPortal `json:"hostPaths,omitempty"`
	// hostPorts: ports of the node that lead into a container.
	// +optional
	HostPorts *HostPortsPortal `json:"hostPorts,omitempty"`
	// capabilities: Linux capabilities that a container may not add. Not judged yet.
	// +optional
	Capabilities *CapabilitiesPortal `json:"capabilities,omitempty"`
}

// ExemptPortals are the portals that an exemption opens: Allow for switches, what is allowed in
// addition otherwise.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.procMount) && !has(self.mountPropagation) && !has(self.devices) && !has(self.runtimeSockets) && !has(self.windowsHostProcess) && !has(self.hostProbes) && !has(self.capabilities)",message="this version of Bulkhead judges privileged, hostPaths and hostPorts only; the other portals need no exemption yet: remove them"
type ExemptPortals struct {
	// +optional
	Privileged Allow `json:"privileged,omitempty"`
	// Not judged yet.
	// +optional
	ProcMount Allow `json:"procMount,omitempty"`
	// Not judged yet.
	// +optional
	MountPropagation Allow `json:"mountPropagation,omitempty"`
	// Not judged yet.
	// +optional
	Devices Allow `json:"devices,omitempty"`
	// Not judged yet.
	// +optional
	RuntimeSockets Allow `json:"runtimeSockets,omitempty"`
	// Not judged yet.
	// +optional
	WindowsHostProcess Allow `json:"windowsHostProcess,omitempty"`
	// Not judged yet.
	// +optional
	HostProbes Allow `json:"hostProbes,omitempty"`
	// +optional
	HostPaths *HostPathsPortal `json:"hostPaths,omitempty"`
	// +optional
	HostPorts *HostPortsPortal `json:"hostPorts,omitempty"`
	// Not judged yet.
	// +optional
	Capabilities *ExemptCapabilities `json:"capabilities,omitempty"`
}

// HostPathsPortal allows host paths. A volume passes if one entry covers it.
type HostPathsPortal struct {
	// allow lists the host paths that pass; an empty list allows none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Allow []AllowedHostPath `json:"allow,omitempty"`
}

// AllowedHostPath allows a path of the node and everything below it.
type AllowedHostPath struct {
	// pathPrefix is compared by whole elements: /var/log covers /var/log/pods, not /var/logs.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="pathPrefix must be an absolute path, such as /var/log"
	// +kubebuilder:validation:XValidation:rule="self == '/' || !(self + '/').matches('/[.]{0,2}/')",message="pathPrefix must be a clean path: no '.', '..' or empty elements, and no slash at its end"
	PathPrefix string `json:"pathPrefix"`
	// readOnly asks that every mount of the volume says readOnly: true. Mounts below the path
	// stay writable unless the mount also says recursiveReadOnly: Enabled (KEP-3857).
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
}

// HostPortsPortal allows ports of the node. A port passes if one range covers it.
type HostPortsPortal struct {
	// allow lists the ranges of ports that pass; an empty list allows none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Allow []PortRange `json:"allow,omitempty"`
}

// PortRange is a range of ports, both ends included.
//
// +kubebuilder:validation:XValidation:rule="self.from <= self.to",message="from must not be greater than to"
type PortRange struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	From int32 `json:"from"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	To int32 `json:"to"`
}

// CapabilitiesPortal forbids Linux capabilities.
type CapabilitiesPortal struct {
	// forbid lists capabilities without their CAP_ prefix.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Forbid []Capability `json:"forbid"`
}

// ExemptCapabilities opens capabilities that a policy forbids.
type ExemptCapabilities struct {
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Allow []Capability `json:"allow"`
}

// Capability is the name of a Linux capability (capabilities(7)), with or without CAP_.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[A-Za-z_]+$`
type Capability string
