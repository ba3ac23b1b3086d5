// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// IsolationPolicy says how isolated the pods that it matches must be, what happens to a pod that
// asks for less, and who is exempt. Several policies can match a pod: each is judged by itself.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=isopol,categories=bulkhead
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.admission.action`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`,priority=1
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Verified",type=string,JSONPath=`.status.conditions[?(@.type=="Verified")].status`
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.pods.matched`
// +kubebuilder:printcolumn:name="Compliant",type=integer,JSONPath=`.status.pods.compliant`
// +kubebuilder:printcolumn:name="Violating",type=integer,JSONPath=`.status.pods.violating`
// +kubebuilder:printcolumn:name="Breached",type=integer,JSONPath=`.status.pods.breached`
// +kubebuilder:printcolumn:name="Unverified",type=integer,JSONPath=`.status.pods.unverified`
// +kubebuilder:printcolumn:name="Exempt",type=integer,JSONPath=`.status.pods.exempt`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name of an IsolationPolicy may have at most 63 characters"
type IsolationPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec IsolationPolicySpec `json:"spec"`
	// +optional
	Status IsolationPolicyStatus `json:"status,omitempty"`
}

// IsolationPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type IsolationPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IsolationPolicy `json:"items"`
}

// IsolationPolicySpec is what a cluster's owner demands.
//
// +kubebuilder:validation:XValidation:rule="has(self.isolation) || has(self.portals)",message="the policy demands nothing: set at least one axis in isolation or one portal in portals"
type IsolationPolicySpec struct {
	// match selects the pods. Absent, empty and empty selectors mean every pod.
	// +optional
	Match *PolicyMatch `json:"match,omitempty"`
	// isolation is the level that is demanded on each axis; an axis left out is not demanded.
	// +optional
	Isolation *Isolation `json:"isolation,omitempty"`
	// portals are the openings that are forbidden or limited; a portal left out is not judged.
	// +optional
	Portals *Portals `json:"portals,omitempty"`
	// admission says what happens to a pod that asks for less.
	// +required
	Admission AdmissionSpec `json:"admission"`
	// runtime says what happens to a running pod that is found with less.
	// +optional
	// +kubebuilder:default={action: Report}
	Runtime RuntimeSpec `json:"runtime,omitempty"`
	// exemptions say who may have which opening, why, and until when.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Exemptions []Exemption `json:"exemptions,omitempty"`
}

// PolicyMatch selects pods. A pod must match both selectors.
type PolicyMatch struct {
	// namespaceSelector selects namespaces by their labels; absent and empty select all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// podSelector selects pods by their labels; absent and empty select all. Who creates a pod
	// chooses its labels, and can dodge this selector: a security boundary is the namespace.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
}

// AdmissionAction is what happens to a pod that asks for less than is required.
//
// +kubebuilder:validation:Enum=Deny;Warn;Audit
type AdmissionAction string

const (
	// Deny refuses the pod, and refuses also when nobody is there to judge it.
	Deny AdmissionAction = "Deny"
	// Warn admits the pod and warns the person who applies it.
	Warn AdmissionAction = "Warn"
	// Audit admits the pod and writes an audit annotation.
	Audit AdmissionAction = "Audit"
)

// AdmissionEngine is what carries admission out.
//
// +kubebuilder:validation:Enum=Webhook;ValidatingAdmissionPolicy
type AdmissionEngine string

const (
	// EngineWebhook: the manager's validating webhook.
	EngineWebhook AdmissionEngine = "Webhook"
	// EngineValidatingAdmissionPolicy: the policy is compiled to a ValidatingAdmissionPolicy and
	// its binding, which the API server evaluates itself (KEP-3488): no webhook is in the way, and
	// it holds while no replica of the manager is up.
	EngineValidatingAdmissionPolicy AdmissionEngine = "ValidatingAdmissionPolicy"
)

// AdmissionSpec says what happens at admission.
type AdmissionSpec struct {
	// action: Deny, Warn or Audit.
	// +required
	Action AdmissionAction `json:"action"`
	// engine: Webhook asks the manager, ValidatingAdmissionPolicy the API server itself.
	// +optional
	// +kubebuilder:default=Webhook
	Engine AdmissionEngine `json:"engine,omitempty"`
}

// RuntimeAction is what happens to a running pod that is found with less than is required.
//
// +kubebuilder:validation:Enum=Report;Evict
type RuntimeAction string

const (
	// Report tells it in the policy's status and in events.
	Report RuntimeAction = "Report"
	// Evict also evicts the pod, through the Eviction API, if it has less than its spec promised. Only where
	// the manager may: config/components/eviction.
	Evict RuntimeAction = "Evict"
)

// RuntimeSpec says what happens at run time.
type RuntimeSpec struct {
	// action: Report or Evict.
	// +optional
	// +kubebuilder:default=Report
	Action RuntimeAction `json:"action,omitempty"`
}

// Exemption opens what it names, for whom it names. It never matches by label or image: both are
// chosen by those whom the policy is to hold.
//
// +kubebuilder:validation:XValidation:rule="has(self.isolation) || has(self.portals)",message="the exemption opens nothing: name the axes in isolation or the portals in portals that it opens"
type Exemption struct {
	// name tells exemptions apart, in messages and in status.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// reason is for the next person who reads the policy.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
	// namespaces are exact names. The namespace is the security boundary.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces"`
	// serviceAccounts narrows the exemption to pods that run as one of them. It only narrows:
	// whoever may create pods in the namespace chooses the account.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
	// isolation is the level that is enough for whom the exemption covers.
	// +optional
	Isolation *Isolation `json:"isolation,omitempty"`
	// portals are opened in addition to what the policy allows.
	// +optional
	Portals *ExemptPortals `json:"portals,omitempty"`
	// ephemeralContainers extends the exemption to debug containers.
	// +optional
	EphemeralContainers bool `json:"ephemeralContainers,omitempty"`
	// expires ends the exemption: a pod created at that moment or later is not covered.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// IsolationPolicyStatus is what is known about the pods that the policy matches.
type IsolationPolicyStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// pods counts the pods that the policy matches.
	// +optional
	Pods PodCounts `json:"pods"`
	// nodes counts the nodes on which matched pods run.
	// +optional
	Nodes NodeCounts `json:"nodes"`
	// findings are the worst ones, worst first, at most 50 of findingsTotal.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Findings []PolicyFinding `json:"findings,omitempty"`
	// findingsTotal is the number of findings, those that found no place in the list included.
	// +optional
	FindingsTotal int32 `json:"findingsTotal,omitempty"`
	// outOfSight are findings that were listed and of which nobody can see any more whether they last, for the
	// node's agent is silent or could not read what they are about: the worst, worst first, at most 50. They are
	// not among the findings; their pods are unverified. They go when they are seen again or seen to have ended.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	OutOfSight []PolicyFinding `json:"outOfSight,omitempty"`
	// exemptions tells of each exemption whether it is used, in the order of the spec.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Exemptions []ExemptionStatus `json:"exemptions,omitempty"`
	// conditions: Accepted, Enforced and Verified, and EvictionReady if the runtime action is Evict.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ExemptionState says whether an exemption is needed.
//
// +kubebuilder:validation:Enum=InUse;Unused;Expired
type ExemptionState string

const (
	// ExemptionInUse: without it at least one pod would violate the policy.
	ExemptionInUse ExemptionState = "InUse"
	// ExemptionUnused: no pod needs it. It can be removed.
	ExemptionUnused ExemptionState = "Unused"
	// ExemptionExpired: it covers no pod that is created now. Pods that were created before may
	// still be covered: they are counted.
	ExemptionExpired ExemptionState = "Expired"
)

// ExemptionStatus is what is known about one exemption.
type ExemptionStatus struct {
	// name of the exemption.
	Name string `json:"name"`
	// state: InUse, Unused or Expired.
	State ExemptionState `json:"state"`
	// pods that have not ended and need it.
	Pods int32 `json:"pods"`
}

// MaxPolicyFindings bounds the lists of findings in a policy's status.
const MaxPolicyFindings = 50

// PodCounts counts pods that have not ended, each in the first class that applies:
// matched = exempt + breached + violating + unverified + compliant.
type PodCounts struct {
	// matched pods in all.
	Matched int32 `json:"matched"`
	// exempt: an exemption opens what the pod asks for or was seen with, and nothing else is wrong.
	Exempt int32 `json:"exempt"`
	// breached: observed below what is required.
	Breached int32 `json:"breached"`
	// violating: the spec asks for less than is required.
	Violating int32 `json:"violating"`
	// unverified: not seen by an agent, or what was seen is Unknown, stale or NotApplicable.
	Unverified int32 `json:"unverified"`
	// notApplicable: those of the unverified that no agent can see, for they run on Windows or in a sandbox
	// with a kernel of its own (Kata, gVisor). The others are not seen because an agent is absent, silent or
	// degraded, has not looked yet, or could not read something.
	// +optional
	NotApplicable int32 `json:"notApplicable"`
	// compliant: asks for what is required, and was observed so.
	Compliant int32 `json:"compliant"`
}

// NodeCounts counts nodes that have matched pods. Those that run Windows, where no agent can look, are not
// among them: their pods are notApplicable.
type NodeCounts struct {
	// reporting: the node's agent is alive and its report is ready.
	Reporting int32 `json:"reporting"`
	// stale: no report, an agent that is silent, or a degraded one.
	Stale int32 `json:"stale"`
}

// PolicyFinding is one thing that is wrong with one pod under one policy.
type PolicyFinding struct {
	Kind FindingKind `json:"kind"`
	// namespace and pod name the pod.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// node where the pod runs, if it does.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// axis or portal that is concerned, one of the two; neither for a pod that nobody has seen.
	// +optional
	Axis Axis `json:"axis,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Portal string `json:"portal,omitempty"`
	// message says what is wrong and what would pass.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// Conditions of an IsolationPolicy. The first three are always present once the controller has seen
// the policy, the last one while its runtime action is Evict. All are of positive polarity: True is what
// an owner wants to see.
const (
	// ConditionAccepted: True when the spec is valid and served. False with reason Invalid when
	// it cannot be compiled, which the schema should have refused, and with reason NotCompiled when
	// its engine cannot carry it out; the webhook then enforces it if its action is Deny.
	ConditionAccepted = "Accepted"
	// ConditionEnforced: True when every ready replica behind the webhook Service serves this
	// generation of the policy and the API server has been told to ask for it (engine Webhook), or
	// when the generated ValidatingAdmissionPolicy and its binding are in place and the API server
	// has observed them without type warnings (engine ValidatingAdmissionPolicy). Unknown while
	// no replica has said what it serves, or the types have not been checked. While a policy goes
	// from one engine to the other both enforce it, and the message says so.
	ConditionEnforced = "Enforced"
	// ConditionVerified: True when every matching pod that has been Running for a minute was
	// observed at or above its requirement, or when none is matched (NoPods). False with reason
	// Breached as soon as a pod was observed below it, and with reason Unverified if one was not
	// observed within its minute: a pod that no agent has seen is unverified, never compliant. If all of
	// those can be seen by no agent (see PodCounts), the reason is NotApplicable: no agent is to blame, and
	// it stays False until the policy no longer matches them.
	// Unknown with reason Looking while all that there is are younger pods, not all observed yet.
	ConditionVerified = "Verified"
	// ConditionEvictionReady: True when pods are evicted that the policy says are to be. False with reason
	// NotPermitted when the manager may not evict, CircuitOpen when so many would go that none does, and
	// NoHistory when it cannot be read what was evicted before. Unknown until that was looked at.
	ConditionEvictionReady = "EvictionReady"
)

// Reasons of conditions.
const (
	ReasonAccepted      = "Accepted"
	ReasonInvalid       = "Invalid"
	ReasonServed        = "Served"
	ReasonNotServed     = "NotServed"
	ReasonNotConfigured = "NotConfigured"
	ReasonNobodyServes  = "NobodyServes"
	ReasonCompiled      = "Compiled"
	ReasonNotCompiled   = "NotCompiled"
	ReasonTypeWarnings  = "TypeWarnings"
	ReasonObserved      = "Observed"
	ReasonNoPods        = "NoPods"
	ReasonBreached      = "Breached"
	ReasonUnverified    = "Unverified"
	ReasonNotApplicable = "NotApplicable"
	ReasonLooking       = "Looking"
	ReasonEstablished   = "Established"
	ReasonArmed         = "Armed"
	ReasonNotPermitted  = "NotPermitted"
	ReasonCircuitOpen   = "CircuitOpen"
	ReasonNoHistory     = "NoHistory"
	ReasonHistoryFull   = "HistoryFull"
)
