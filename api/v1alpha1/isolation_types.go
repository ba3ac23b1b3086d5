// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Level says how isolated a container is on one axis. The first four are ordered,
// Host < Foreign < Pod < Container. Unknown and NotApplicable are no levels: they neither
// satisfy nor violate a requirement, they make a pod unverified.
//
// +kubebuilder:validation:Enum=Host;Foreign;Pod;Container;Unknown;NotApplicable
type Level string

const (
	// LevelHost: the container shares the node's namespace.
	LevelHost Level = "Host"
	// LevelForeign: it sits in a namespace that belongs to another pod. Only ever observed.
	LevelForeign Level = "Foreign"
	// LevelPod: shared within its own pod, with nobody else.
	LevelPod Level = "Pod"
	// LevelContainer: its own.
	LevelContainer Level = "Container"
	// LevelUnknown: the kernel was asked and did not answer.
	LevelUnknown Level = "Unknown"
	// LevelNotApplicable: the node's kernel cannot show it (Kata, gVisor, Windows).
	LevelNotApplicable Level = "NotApplicable"
)

// PIDLevel is what can be demanded of pid: its namespace can be the container's own.
//
// +kubebuilder:validation:Enum=Host;Pod;Container
type PIDLevel string

// SandboxLevel is what can be demanded of the axes that a pod's containers always share with
// their sandbox: network, ipc, uts and user.
//
// +kubebuilder:validation:Enum=Host;Pod
type SandboxLevel string

// ContainerLevel is what can be demanded of the axes that are never shared within a pod:
// mount and cgroup.
//
// +kubebuilder:validation:Enum=Host;Container
type ContainerLevel string

// Isolation is a demand on the axes of isolation. An axis left out is not demanded. The time
// namespace is observed, and cannot be demanded: no container runtime separates it.
//
// +kubebuilder:validation:MinProperties=1
type Isolation struct {
	// pid: whether processes see others. Container forbids hostPID, shareProcessNamespace and
	// debug containers that target another container; Pod forbids hostPID.
	// +optional
	PID PIDLevel `json:"pid,omitempty"`
	// network: interfaces, ports, abstract sockets. Pod forbids hostNetwork.
	// +optional
	Network SandboxLevel `json:"network,omitempty"`
	// ipc: System V IPC and POSIX message queues. Pod forbids hostIPC.
	// +optional
	IPC SandboxLevel `json:"ipc,omitempty"`
	// uts: the host name. Pod forbids hostNetwork, with which runtimes drop the UTS namespace.
	// +optional
	UTS SandboxLevel `json:"uts,omitempty"`
	// mount: the file system tree. No field of a pod gives it up; what a runtime or a process
	// does to it is observed.
	// +optional
	Mount ContainerLevel `json:"mount,omitempty"`
	// user: whether root in the container is root on the node. Pod asks for hostUsers: false.
	// +optional
	User SandboxLevel `json:"user,omitempty"`
	// cgroup: whether the node's cgroup tree is visible. Privileged containers get the node's;
	// the others get their own from runtimes on cgroup v2, and the node's on cgroup v1.
	// +optional
	Cgroup ContainerLevel `json:"cgroup,omitempty"`
}

// Levels tells one level for each of the eight axes.
type Levels struct {
	PID     Level `json:"pid"`
	Network Level `json:"network"`
	IPC     Level `json:"ipc"`
	UTS     Level `json:"uts"`
	Mount   Level `json:"mount"`
	User    Level `json:"user"`
	Cgroup  Level `json:"cgroup"`
	Time    Level `json:"time"`
}

// Axis names one of the eight kinds of Linux namespaces (namespaces(7)).
//
// +kubebuilder:validation:Enum=pid;network;ipc;uts;mount;user;cgroup;time
type Axis string

// FindingKind says what was compared to find it, and so what it means.
//
// +kubebuilder:validation:Enum=Violation;Drift;Escape;Foreign;Portal;Leak;Orphan;Breach;Unverified
type FindingKind string

const (
	// Violation: the spec asks for less than a policy requires, or for a forbidden portal.
	Violation FindingKind = "Violation"
	// Drift: a container's first process has less than its spec promised.
	Drift FindingKind = "Drift"
	// Escape: a process of the container is below where the container started, or descends from it and has left
	// its cgroup.
	Escape FindingKind = "Escape"
	// Foreign: it is in a namespace that another pod owns, whatever was claimed.
	Foreign FindingKind = "Foreign"
	// Portal: the kernel shows an opening that the spec did not ask for.
	Portal FindingKind = "Portal"
	// Leak: a working directory, root or open directory reaches outside the container's mounts.
	Leak FindingKind = "Leak"
	// Orphan: processes of a pod or container that the API does not know.
	Orphan FindingKind = "Orphan"
	// Breach: what was observed is below what a policy requires.
	Breach FindingKind = "Breach"
	// Unverified: nobody has seen it, or what was seen is Unknown, stale or NotApplicable.
	Unverified FindingKind = "Unverified"
)
