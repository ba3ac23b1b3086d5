// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// APIVersion of the formats. A field may be added to them; none changes its meaning.
const APIVersion = "report.bulkhead.dev/v1alpha1"

// header begins every report.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// GeneratedAt is when the cluster was read, RFC 3339, UTC.
	GeneratedAt string `json:"generatedAt"`
	// Namespace and Policies narrow the report; empty if they do not.
	Namespace string   `json:"namespace,omitempty"`
	Policies  []string `json:"onlyPolicies,omitempty"`
}

// overview is the cluster at a glance. Text is sanitised. Lists are worst first.
type overview struct {
	header
	Totals     totals         `json:"totals"`
	Policies   []policyRow    `json:"policies"`
	Namespaces []namespaceRow `json:"namespaces"`
	Nodes      []nodeRow      `json:"nodes"`
	Pods       []podRow       `json:"pods"`
	// Notes say what the reader must know to understand the rest.
	Notes []string `json:"notes,omitempty"`
}

// totals count what the report is about.
type totals struct {
	counts
	Namespaces int `json:"namespaces"`
	Nodes      int `json:"nodes"`
	// Agents are the nodes by the state of their agent.
	Agents map[ledger.AgentState]int `json:"agents"`
}

// counts are pods that have not ended, each in the worst class in which a policy counts it.
type counts struct {
	Pods int `json:"pods"`
	// Seen by the agent of their node.
	Seen       int `json:"seen"`
	Breached   int `json:"breached"`
	Violating  int `json:"violating"`
	Unverified int `json:"unverified"`
	Exempt     int `json:"exempt"`
	Compliant  int `json:"compliant"`
	// Unmatched: no policy speaks of them.
	Unmatched int `json:"unmatched"`
	// Findings of these pods.
	Findings int `json:"findings"`
}

// policyRow is a policy as its status tells it: of the whole cluster, whatever the report is narrowed to.
type policyRow struct {
	Name     string                   `json:"name"`
	Action   v1alpha1.AdmissionAction `json:"action"`
	Engine   v1alpha1.AdmissionEngine `json:"engine"`
	Required levels                   `json:"required"`
	// Pods and Nodes are nil, and Findings nothing, if nobody has counted yet.
	Pods     *v1alpha1.PodCounts       `json:"pods,omitempty"`
	Nodes    *v1alpha1.NodeCounts      `json:"nodes,omitempty"`
	Findings int32                     `json:"findingsTotal"`
	Status   map[string]conditionValue `json:"conditions"`
	// Outdated is set if the status speaks of an earlier generation, or of none.
	Outdated bool `json:"outdated,omitempty"`
	// Invalid is why nobody can be judged by it.
	Invalid string `json:"invalid,omitempty"`
}

// conditionValue is what a condition says; Unknown if there is none.
type conditionValue struct {
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

type namespaceRow struct {
	Name string `json:"name"`
	counts
	// Lowest levels of its pods; of a pod that was not seen they are Unknown.
	Lowest levels `json:"lowest"`
}

type nodeRow struct {
	Name  string            `json:"name"`
	Agent ledger.AgentState `json:"agent"`
	// Why the agent is no better than that.
	Why string `json:"why,omitempty"`
	counts
	// Reported findings of its agent, those included that are about no pod of the API's.
	Reported int32  `json:"reportedFindings"`
	Lowest   levels `json:"lowest"`
	Kernel   string `json:"kernelVersion,omitempty"`
	Runtime  string `json:"containerRuntime,omitempty"`
}

// verdict is the worst that a policy says of a pod.
type verdict string

const (
	breached   verdict = "Breached"
	violating  verdict = "Violating"
	unverified verdict = "Unverified"
	exempt     verdict = "Exempt"
	compliant  verdict = "Compliant"
	unmatched  verdict = "Unmatched"
)

// verdicts, worst first.
var verdicts = []verdict{breached, violating, unverified, exempt, compliant, unmatched}

// verdictOf names a class.
var verdictOf = map[isolation.Class]verdict{
	isolation.Breached: breached, isolation.Violating: violating, isolation.Unverified: unverified,
	isolation.Exempt: exempt, isolation.Compliant: compliant, isolation.Unmatched: unmatched,
}

type podRow struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Node      string  `json:"node,omitempty"`
	Verdict   verdict `json:"verdict"`
	// Observed levels; Unknown on every axis if it was not seen.
	Observed levels `json:"observed"`
	// Required is the most that a policy that matches requires, without regard to exemptions.
	Required levels `json:"required"`
	// Unseen is why nothing was seen; Doubt why what was seen proves nothing but what is wrong.
	Unseen   string    `json:"unseen,omitempty"`
	Doubt    string    `json:"doubt,omitempty"`
	Policies []string  `json:"policies,omitempty"`
	Findings []finding `json:"findings,omitempty"`
}

// finding is one thing that is wrong with a pod.
type finding struct {
	Kind   string `json:"kind"`
	Axis   string `json:"axis,omitempty"`
	Portal string `json:"portal,omitempty"`
	// Policy that minds; empty if the agent of the node found it, whatever the policies say.
	Policy  string `json:"policy,omitempty"`
	Message string `json:"message"`
}

const unverifiedKind = string(v1alpha1.Unverified)

// of is how many pods have the verdict.
func (c *counts) of(v verdict) *int {
	switch v {
	case breached:
		return &c.Breached
	case violating:
		return &c.Violating
	case unverified:
		return &c.Unverified
	case exempt:
		return &c.Exempt
	case compliant:
		return &c.Compliant
	default:
		return &c.Unmatched
	}
}

// add counts a pod.
func (c *counts) add(p *podRow) {
	c.Pods++
	if p.Unseen == "" {
		c.Seen++
	}
	c.Findings += len(p.Findings)
	*c.of(p.Verdict)++
}
