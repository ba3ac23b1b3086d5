// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Names by which the parts of an installation find each other.
const (
	// ManagedByLabel has the value ManagedBy on everything that the manager makes.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "bulkhead-manager"

	// InstallNamespace is where Bulkhead is installed.
	InstallNamespace = "bulkhead-system"
	// WebhookConfigurationName is the one ValidatingWebhookConfiguration, kept by the manager.
	WebhookConfigurationName = "bulkhead"
	// WebhookServiceName is the Service in front of the manager's webhook.
	WebhookServiceName = "bulkhead-webhook"
	// WebhookSecretName is the Secret that holds the webhook's certificates.
	WebhookSecretName = "bulkhead-webhook-cert"
	// PodWebhookPath is where pods and their ephemeral containers are judged. Below it stands for which
	// pair of selectors the API server asks.
	PodWebhookPath = "/validate-pods"
	// TemplateWebhookPath is where the pod templates of workloads are judged, to warn.
	TemplateWebhookPath = "/validate-templates"
	// PolicyWebhookPath is where policies are judged.
	PolicyWebhookPath = "/validate-policies"

	// LabelLease tells the leases in the installation's namespace apart.
	LabelLease = Group + "/lease"
	// LeaseAgent is the value of [LabelLease] on the Lease of a node's agent. The Lease is
	// named after the node.
	LeaseAgent = "agent"
	// LeaseWebhook is the value of [LabelLease] on the Lease of a manager replica. The Lease is
	// named after the pod, with [WebhookLeasePrefix].
	LeaseWebhook = "webhook"
	// WebhookLeasePrefix begins the name of a replica's Lease, so that it is no node's.
	WebhookLeasePrefix = "bulkhead-webhook."

	// AnnotationServed on a replica's Lease tells which policies it serves, as [Served] in JSON.
	AnnotationServed = Group + "/served"
	// EvictionsLeaseName is the Lease in the installation's namespace on which is written what was evicted.
	EvictionsLeaseName = "bulkhead-evictions"
	// AnnotationEvictions on that Lease is the history. Who takes it away has everything forgotten.
	AnnotationEvictions = Group + "/evictions"
	// AnnotationGeneration on a generated ValidatingAdmissionPolicy and its binding is the generation
	// of the IsolationPolicy from which they were compiled.
	AnnotationGeneration = Group + "/generation"
)

// ExcludedNamespaces are those about whose pods nobody is asked at admission, in order: the given ones,
// and always that of the installation, whose pods a webhook that fails closed must not stand in the
// way of. nil means kube-system, which has what Bulkhead needs to start.
func ExcludedNamespaces(installation string, given []string) []string {
	if given == nil {
		given = []string{metav1.NamespaceSystem}
	}
	all := append([]string{installation}, given...)
	slices.Sort(all)
	return slices.Compact(all)
}

// AgentLeaseSeconds is how long after its last renewal an agent's Lease is stale; it is renewed
// three times as often.
const AgentLeaseSeconds = 120

// WebhookLeaseSeconds is how long a manager replica is believed to serve after it last said so; it
// says so three times as often.
const WebhookLeaseSeconds = 30

// Served tells which generation of which policy a replica's webhook judges by.
type Served map[types.UID]int64

// Encode is the value of [AnnotationServed].
func (s Served) Encode() string {
	// A map from strings to integers always marshals.
	b, _ := json.Marshal(s)
	return string(b)
}

// ParseServed reads the value of [AnnotationServed].
func ParseServed(value string) (Served, error) {
	var s Served
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return nil, fmt.Errorf("annotation %s: %q is no JSON object of policy UIDs and generations: %w", AnnotationServed, value, err)
	}
	return s, nil
}
