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
// not judged; an empty list of what is allowed allows nothing. All containers are judged: init
// containers, sidecars, regular and ephemeral ones.
//
// A privileged container claims all capabilities, an unmasked /proc and all devices, so it also
// violates those portals.
//
// +kubebuilder:validation:MinProperties=1
type Portals struct {
	// privileged: containers with all capabilities, all devices and an unmasked /proc.
	// +optional
	Privileged Forbid `json:"privileged,omitempty"`
	// procMount: a /proc whose masks are lifted (securityContext.procMount other than Default,
	// with and without hostUsers: false), hostPath volumes that reach the node's /proc, which has
	// none, and privileged containers.
	// +optional
	ProcMount Forbid `json:"procMount,omitempty"`
	// mountPropagation: mounts that travel between the node and a container, in either direction
	// (volumeMounts[*].mountPropagation other than None).
	// +optional
	MountPropagation Forbid `json:"mountPropagation,omitempty"`
	// devices: devices of the node: raw block volumes (volumeDevices), hostPath volumes of type
	// CharDevice or BlockDevice or that reach /dev or /sys, and privileged containers.
	// +optional
	Devices Forbid `json:"devices,omitempty"`
	// runtimeSockets: hostPath volumes that reach a socket which commands a container runtime or
	// the kubelet: one of them, a folder that holds one, or a named pipe of Windows.
	// +optional
	RuntimeSockets Forbid `json:"runtimeSockets,omitempty"`
	// windowsHostProcess: Windows containers that run as processes of the host
	// (windowsOptions.hostProcess of the pod or of a container).
	// +optional
	WindowsHostProcess Forbid `json:"windowsHostProcess,omitempty"`
	// hostProbes: probes and lifecycle hooks that name a host, to which the kubelet connects from
	// the node's network; 127.0.0.1 counts too.
	// +optional
	HostProbes Forbid `json:"hostProbes,omitempty"`
	// hostPaths: volumes that show a part of the node's file system.
	// +optional
	HostPaths *HostPathsPortal `json:"hostPaths,omitempty"`
	// hostPorts: ports of the node that lead into a container.
	// +optional
	HostPorts *HostPortsPortal `json:"hostPorts,omitempty"`
	// capabilities: Linux capabilities that a container may not add.
	// +optional
	Capabilities *CapabilitiesPortal `json:"capabilities,omitempty"`
}

// ExemptPortals are the portals that an exemption opens: Allow for switches, what is allowed in
// addition otherwise. Only what is named is opened: for a privileged container that means every
// portal of the policy that it violates.
//
// +kubebuilder:validation:MinProperties=1
type ExemptPortals struct {
	// +optional
	Privileged Allow `json:"privileged,omitempty"`
	// +optional
	ProcMount Allow `json:"procMount,omitempty"`
	// +optional
	MountPropagation Allow `json:"mountPropagation,omitempty"`
	// +optional
	Devices Allow `json:"devices,omitempty"`
	// +optional
	RuntimeSockets Allow `json:"runtimeSockets,omitempty"`
	// +optional
	WindowsHostProcess Allow `json:"windowsHostProcess,omitempty"`
	// +optional
	HostProbes Allow `json:"hostProbes,omitempty"`
	// +optional
	HostPaths *HostPathsPortal `json:"hostPaths,omitempty"`
	// +optional
	HostPorts *HostPortsPortal `json:"hostPorts,omitempty"`
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
	// forbid lists capabilities that no container may add. ALL forbids to add any. A container
	// that adds ALL, or is privileged, adds each of them.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Forbid []Capability `json:"forbid"`
}

// ExemptCapabilities opens capabilities that a policy forbids.
type ExemptCapabilities struct {
	// allow lists capabilities that may be added; ALL stands for all of them.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Allow []Capability `json:"allow"`
}

// Capability is the name of a Linux capability (capabilities(7)), such as SYS_ADMIN, or ALL. It is
// compared without regard to case and to a leading CAP_.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_]+$')",message="a capability is a name such as SYS_ADMIN, or ALL"
type Capability string
