// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// settleAfter is how long a pod must have been running before its not having been observed is held
// against it.
const settleAfter = time.Minute

// decision is what there is to say of one policy.
type decision struct {
	status v1alpha1.IsolationPolicyStatus
	// findings are all of them, worst first; the status holds the first.
	findings []v1alpha1.PolicyFinding
	// again is when the next young pod is old enough; zero if there is none.
	again time.Time
}

// decide judges every pod by one policy and sums up.
func decide(f *facts, p *v1alpha1.IsolationPolicy) decision {
	d := decision{status: v1alpha1.IsolationPolicyStatus{
		ObservedGeneration: p.Generation,
		Conditions:         slices.Clone(p.Status.Conditions),
	}}
	compiled, err := isolation.Compile(p)
	if err != nil {
		for _, c := range rejected(err) {
			d.set(p, f.now, c)
		}
		return d
	}
	t := newTally(f)
	for i := range f.pods {
		t.add(compiled, &f.pods[i])
	}
	t.sum(&d)
	d.set(p, f.now, accepted())
	d.set(p, f.now, f.serving.enforced(p, entryNames(p)))
	d.set(p, f.now, t.verifiedCondition())
	return d
}

// set sets a condition; its transition time changes with its status only.
func (d *decision) set(p *v1alpha1.IsolationPolicy, now time.Time, c metav1.Condition) {
	c.ObservedGeneration = p.Generation
	c.LastTransitionTime = metav1.NewTime(now)
	meta.SetStatusCondition(&d.status.Conditions, c)
}

// tally sums up over pods.
type tally struct {
	facts    *facts
	counts   v1alpha1.PodCounts
	findings []v1alpha1.PolicyFinding
	nodes    map[string]bool
	settling
}

func newTally(f *facts) *tally { return &tally{facts: f, nodes: make(map[string]bool)} }

// add judges one pod. Pods that have ended are not counted; those that are being ended are.
func (t *tally) add(p *isolation.Policy, pod *corev1.Pod) {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	labels, known := t.facts.namespaces[pod.Namespace]
	subject := isolation.NewSubject(pod, labels)
	subject.NamespaceUnknown = !known
	if !p.Matches(subject) {
		return
	}
	a := p.Assess(subject, t.facts.sights.of(pod))
	t.counts.Matched++
	switch a.Class {
	case isolation.Exempt:
		t.counts.Exempt++
	case isolation.Breached:
		t.counts.Breached++
	case isolation.Violating:
		t.counts.Violating++
	case isolation.Compliant:
		t.counts.Compliant++
	default:
		t.counts.Unverified++
	}
	if pod.Spec.NodeName != "" {
		t.nodes[pod.Spec.NodeName] = true
	}
	for _, f := range a.Findings {
		f.Namespace, f.Pod, f.UID, f.Node = pod.Namespace, pod.Name, pod.UID, pod.Spec.NodeName
		t.findings = append(t.findings, f)
	}
	t.settle(pod, &a, t.facts.now)
}

// sum writes what was added up.
func (t *tally) sum(d *decision) {
	d.status.Pods = t.counts
	for node := range t.nodes {
		if t.facts.sights.counts(node) {
			d.status.Nodes.Reporting++
		} else {
			d.status.Nodes.Stale++
		}
	}
	slices.SortStableFunc(t.findings, func(x, y v1alpha1.PolicyFinding) int {
		return cmp.Or(
			cmp.Compare(isolation.Severity(x.Kind), isolation.Severity(y.Kind)),
			cmp.Compare(x.Namespace, y.Namespace),
			cmp.Compare(x.Pod, y.Pod),
		)
	})
	d.findings = t.findings
	d.status.FindingsTotal = int32(len(t.findings))
	d.status.Findings = t.findings[:min(len(t.findings), v1alpha1.MaxPolicyFindings)]
	d.again = t.again
}
