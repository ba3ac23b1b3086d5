// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// unwritten is how long it takes until it is asked again why something does not stand yet.
const unwritten = 5 * time.Second

// seenPod is a pod with what is known of it, whatever the policies say.
type seenPod struct {
	*corev1.Pod
	subject *isolation.Subject
	sight   isolation.Sight
	node    *nodeSight // nil if it is on no node
	// since when it runs; meaningful only if running.
	since   time.Time
	running bool
}

// assessed is a pod with what one policy says of it.
type assessed struct {
	*seenPod
	isolation.Assessment
}

// verdict is what is to be told of one policy.
type verdict struct {
	policy *v1alpha1.IsolationPolicy
	status v1alpha1.IsolationPolicyStatus
	// findings are all, of which the status lists the worst.
	findings []v1alpha1.PolicyFinding
	// pods are those that the policy matches.
	pods []assessed
	// invalid is set if the policy cannot be judged by.
	invalid bool
}

// judgement is what is to be told at one moment.
type judgement struct {
	verdicts []verdict
	// exist are the pods that have not ended.
	exist map[types.UID]bool
	// next is when something changes by the passing of time alone; zero if nothing does.
	next time.Time
}

// alarm keeps the earliest of the moments that it is told.
type alarm struct{ at time.Time }

func (a *alarm) set(t time.Time) {
	if !t.IsZero() && (a.at.IsZero() || t.Before(a.at)) {
		a.at = t
	}
}

// judge decides what the status of every policy is. It is pure.
func judge(in *input, o *webhookOptions) judgement {
	var next alarm
	if len(in.Policies) == 0 {
		return judgement{}
	}
	pods := seePods(in, &next)
	asked := askedFor(in.Configuration, o)
	j := judgement{exist: make(map[types.UID]bool, len(pods))}
	for i := range pods {
		j.exist[pods[i].UID] = true
	}
	for i := range in.Policies {
		j.verdicts = append(j.verdicts, judgePolicy(in, &in.Policies[i], pods, asked, &next))
	}
	for _, r := range in.Replicas {
		if fresh(r.Renewed, in.Now, replicaLease) {
			next.set(r.Renewed.Add(replicaLease).Add(time.Millisecond))
		}
	}
	j.next = next.at
	return j
}

// seePods tells what is known of every pod that has not ended.
func seePods(in *input, next *alarm) []seenPod {
	out := make([]seenPod, 0, len(in.Pods))
	nodes := sights{}
	for i := range in.Pods {
		pod := &in.Pods[i]
		if isolation.Ended(pod) {
			continue
		}
		labels, known := in.Namespaces[pod.Namespace]
		p := seenPod{Pod: pod, subject: isolation.NewSubject(pod, labels)}
		p.subject.NamespaceUnknown = !known
		p.sight, p.node = nodes.of(in, pod)
		if p.node != nil {
			next.set(p.node.expires)
		}
		p.since, p.running = runningSince(pod)
		out = append(out, p)
	}
	return out
}

// judgePolicy decides the status of one policy.
func judgePolicy(in *input, p *v1alpha1.IsolationPolicy, pods []seenPod, asked asked, next *alarm) verdict {
	v := verdict{policy: p, status: v1alpha1.IsolationPolicyStatus{
		ObservedGeneration: p.Generation, Conditions: slices.Clone(p.Status.Conditions),
	}}
	compiled, err := isolation.Compile(p)
	if err != nil {
		v.refuse(in, err)
		return v
	}
	for i := range pods {
		a := compiled.Assess(pods[i].subject, pods[i].sight)
		if a.Class != isolation.Unmatched {
			v.pods = append(v.pods, assessed{&pods[i], a})
		}
	}
	v.status.Pods = countPods(v.pods)
	v.status.Nodes = countNodes(v.pods)
	v.list()
	v.status.Exemptions = exemptions(p, v.pods, in.Now, next)
	v.condition(in, accepted(in, p, compiled))
	v.condition(in, enforced(in, p, compiled, asked))
	if made := in.Products[p.UID]; made.err == nil && made.whole() && !in.Generated[in.name(p)].like(made.generated) {
		// Why it does not stand is known to who writes it, and no event tells of it.
		next.set(in.Now.Add(unwritten))
	}
	v.condition(in, verified(in.Now, v.pods, next))
	return v
}

// accepted decides the condition Accepted of a policy that is valid: its engine must also be able to
// carry it out.
func accepted(in *input, p *v1alpha1.IsolationPolicy, compiled *isolation.Policy) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted,
		Message: "the policy is valid",
	}
	if err := in.Products[p.UID].err; err != nil && compiled.Engine == v1alpha1.EngineValidatingAdmissionPolicy {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, cannot(err)
		if denies(p) {
			c.Message = isolation.Sanitize(c.Message, 4000) + "; until it can, the webhook enforces it"
		}
	}
	return c
}

// refuse says that the policy cannot be judged by. No pod is counted: whom it matches is not known.
func (v *verdict) refuse(in *input, err error) {
	v.invalid = true
	v.condition(in, metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid,
		Message: isolation.Sanitize(err.Error(), 4096),
	})
	v.condition(in, metav1.Condition{
		Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid,
		Message: "the policy is not valid, and nobody judges by it",
	})
	v.condition(in, metav1.Condition{
		Type: v1alpha1.ConditionVerified, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonInvalid,
		Message: "the policy is not valid, and what it requires is not known",
	})
}

// condition sets a condition; its time changes with its status only.
func (v *verdict) condition(in *input, c metav1.Condition) {
	c.ObservedGeneration = v.policy.Generation
	c.LastTransitionTime = metav1.NewTime(in.Now).Rfc3339Copy()
	meta.SetStatusCondition(&v.status.Conditions, c)
}

// countPods counts each pod in its class.
func countPods(pods []assessed) v1alpha1.PodCounts {
	n := v1alpha1.PodCounts{Matched: int32(len(pods))}
	for i := range pods {
		switch pods[i].Class {
		case isolation.Exempt:
			n.Exempt++
		case isolation.Breached:
			n.Breached++
		case isolation.Violating:
			n.Violating++
		case isolation.Compliant:
			n.Compliant++
		default:
			n.Unverified++
		}
	}
	return n
}

// countNodes counts each node on which one of the pods is.
func countNodes(pods []assessed) v1alpha1.NodeCounts {
	var n v1alpha1.NodeCounts
	counted := make(map[*nodeSight]bool)
	for i := range pods {
		node := pods[i].node
		if node == nil || counted[node] {
			continue
		}
		counted[node] = true
		if node.unseen == "" && node.doubt == "" {
			n.Reporting++
		} else {
			n.Stale++
		}
	}
	return n
}

// list gathers the findings of all pods, worst first, in an order that does not change from one
// time to the next, and puts as many into the status as fit.
func (v *verdict) list() {
	for i := range v.pods {
		p := &v.pods[i]
		for _, f := range p.Findings {
			f.Namespace, f.Pod, f.UID, f.Node = p.Namespace, p.Name, p.UID, p.Spec.NodeName
			v.findings = append(v.findings, f)
		}
	}
	slices.SortStableFunc(v.findings, func(a, b v1alpha1.PolicyFinding) int {
		return cmp.Or(
			cmp.Compare(isolation.Severity(a.Kind), isolation.Severity(b.Kind)),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.UID, b.UID),
		)
	})
	v.status.FindingsTotal = int32(len(v.findings))
	if n := min(len(v.findings), v1alpha1.MaxPolicyFindings); n > 0 {
		v.status.Findings = slices.Clone(v.findings[:n])
	}
}
