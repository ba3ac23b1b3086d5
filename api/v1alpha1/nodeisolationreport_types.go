// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// NodeIsolationReport tells what the kernel of one node shows: facts, and no judgement by any
// policy. It is named after its node, owned by it, and written by the agent of that node alone.
// Whether the agent is alive is told by its Lease of the same name, not by this object, which
// is written on change only.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=nir,categories=bulkhead
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Degraded",type=string,JSONPath=`.status.conditions[?(@.type=="Degraded")].status`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.podsTotal`
// +kubebuilder:printcolumn:name="Findings",type=integer,JSONPath=`.status.findingsTotal`
// +kubebuilder:printcolumn:name="Kernel",type=string,JSONPath=`.status.node.kernelVersion`,priority=1
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.status.node.containerRuntime`,priority=1
// +kubebuilder:printcolumn:name="Changed",type=date,JSONPath=`.status.changedAt`
type NodeIsolationReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status NodeIsolationReportStatus `json:"status,omitempty"`
}

// NodeIsolationReportList is a list of reports.
//
// +kubebuilder:object:root=true
type NodeIsolationReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeIsolationReport `json:"items"`
}

// NodeIsolationReportStatus is what the agent saw.
type NodeIsolationReportStatus struct {
	// changedAt is the time of the look that found what stands here; later looks found the same.
	// +optional
	ChangedAt *metav1.Time `json:"changedAt,omitempty"`
	// node names the kernel that was asked.
	// +optional
	Node NodeFacts `json:"node,omitzero"`
	// namespaces says which namespaces are the node's own, and how that was established.
	// +optional
	// +listType=map
	// +listMapKey=axis
	// +kubebuilder:validation:MaxItems=8
	Namespaces []NodeNamespace `json:"namespaces,omitempty"`
	// nested is true if the node's namespaces are not the kernel's initial ones: a node that is
	// itself a container.
	// +optional
	Nested bool `json:"nested,omitempty"`
	// groups are the pods that were observed, grouped by their lowest levels and by whether they were
	// looked at closely.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	Groups []ObservedGroup `json:"groups,omitempty"`
	// podsTotal is the number of pods observed.
	// +optional
	PodsTotal int32 `json:"podsTotal,omitempty"`
	// findings need no policy to be wrong, worst first, at most 100 of findingsTotal.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Findings []NodeFinding `json:"findings,omitempty"`
	// findingsTotal is the number of findings, those that found no place in the list included.
	// +optional
	FindingsTotal int32 `json:"findingsTotal,omitempty"`
	// truncated is true if pods or findings were cut off; a pod that was cut off is unverified.
	// +optional
	Truncated bool `json:"truncated,omitempty"`
	// conditions: Ready and Degraded.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Bounds of a report.
const (
	// MaxReportFindings bounds the list of findings.
	MaxReportFindings = 100
	// MaxReportPods bounds the pods of all groups together.
	MaxReportPods = 1024
	// MaxReportGroups bounds the groups.
	MaxReportGroups = 512
)

// Conditions of a NodeIsolationReport. Both are always present once the agent has looked.
const (
	// ConditionReady: True when the agent looks at regular intervals and this report holds what
	// it saw. Positive polarity.
	ConditionReady = "Ready"
	// ConditionDegraded: True when the agent cannot establish the node's namespaces or lacks a
	// privilege: then everything that it could not see is Unknown. Negative polarity: False is
	// what an owner wants to see.
	ConditionDegraded = "Degraded"
)

// NodeFacts name the kernel and the runtime of a node.
type NodeFacts struct {
	// bootID changes with every boot (/proc/sys/kernel/random/boot_id).
	// +kubebuilder:validation:MaxLength=64
	BootID string `json:"bootID"`
	// kernelVersion as uname -r tells it.
	// +kubebuilder:validation:MaxLength=128
	KernelVersion string `json:"kernelVersion"`
	// containerRuntime as the kubelet tells it, such as containerd://2.4.2.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ContainerRuntime string `json:"containerRuntime,omitempty"`
}

// NodeNamespace names the node's own namespaces on one axis.
type NodeNamespace struct {
	Axis Axis `json:"axis"`
	// inodes of the namespaces that are the node's. Empty if they could not be established.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Inodes []int64 `json:"inodes,omitempty"`
	// establishedBy names the witness: pid1, kthreadd or initial-inode; empty if there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	EstablishedBy string `json:"establishedBy,omitempty"`
	// reason says why they could not be established.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// ObservedGroup is a set of pods with the same lowest levels over all of their processes.
type ObservedGroup struct {
	Levels Levels `json:"levels"`
	// inspected is true if all running containers of these pods were looked at closely (mounts,
	// privileges, what is open), what that showed is confirmed, and all of it is told in the findings.
	// Where it is not, that nothing was found proves nothing.
	// +optional
	Inspected bool `json:"inspected,omitempty"`
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Pods []ObservedPod `json:"pods"`
}

// ObservedPod names a pod that was observed.
type ObservedPod struct {
	// uid as the API knows it; of a pod that the API does not know, the one in its cgroup.
	UID types.UID `json:"uid"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// NodeFinding is one thing that is wrong on the node, whatever the policies say.
type NodeFinding struct {
	Kind FindingKind `json:"kind"`
	// pod that is to blame.
	Pod ObservedPod `json:"pod"`
	// container by its name; empty if the whole pod is concerned or its name is not known.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// containerID as the runtime knows it.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ContainerID string `json:"containerID,omitempty"`
	// axis that is concerned; empty for Orphan, for an Unverified that concerns all, and for an Escape from a cgroup alone.
	// +optional
	Axis Axis `json:"axis,omitempty"`
	// portal that is open: by its name in policies, or seccomp or noNewPrivileges; mounts if a container
	// could not be looked at closely. Empty for findings of other kinds.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Portal string `json:"portal,omitempty"`
	// capabilities that are there beyond those that the spec asks for, of a finding on the portal capabilities.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Capabilities []Capability `json:"capabilities,omitempty"`
	// claimed is what the spec promised on the axis, where it promises anything.
	// +optional
	Claimed Level `json:"claimed,omitempty"`
	// observed is what the kernel shows.
	// +optional
	Observed Level `json:"observed,omitempty"`
	// message says what was seen. Text that came from processes is sanitised.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// evidence lets a person check it by hand.
	// +optional
	Evidence *Evidence `json:"evidence,omitempty"`
	// firstSeen is the time of the look that found it first.
	FirstSeen metav1.Time `json:"firstSeen"`
}

// Evidence names what was seen in /proc.
type Evidence struct {
	// pid of the process, as the node numbers it.
	PID int64 `json:"pid"`
	// tid of the thread, if it is not the process's first.
	// +optional
	TID int64 `json:"tid,omitempty"`
	// command is the process's comm, sanitised: processes choose it.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Command string `json:"command,omitempty"`
	// startTime in clock ticks (1/100 s) since boot, field 22 of /proc/PID/stat.
	StartTime int64 `json:"startTime"`
	// inode of the namespace in which the process was found.
	// +optional
	Inode int64 `json:"inode,omitempty"`
	// owner of that namespace: "node", or namespace/name of a pod.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Owner string `json:"owner,omitempty"`
	// ownInode is the namespace where the container started, for comparison.
	// +optional
	OwnInode int64 `json:"ownInode,omitempty"`
	// processes is how many processes of the container were found so; of a Portal or Leak, how many
	// openings.
	// +optional
	Processes int32 `json:"processes,omitempty"`
	// check is a command that shows it on the node.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Check string `json:"check,omitempty"`
}
