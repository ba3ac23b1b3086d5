// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// explanation is all that there is to tell of a pod.
type explanation struct {
	pod     *corev1.Pod
	subject *isolation.Subject
	node    string
	install string // the namespace where Bulkhead is
	claimed isolation.Vector
	sight   isolation.Sight
	// volumes that lead the pod's claims to the node's file system.
	volumes *cluster.Volumes
	// changed is when the node's report last changed, renewed when its agent last said that it holds.
	changed, renewed, now time.Time
	verdicts              []verdict
	// others is how many policies do not match, broken those that cannot be served, with the reason.
	others int
	broken []string
}

// verdict is what one policy says of the pod.
type verdict struct {
	policy  *isolation.Policy
	portals *v1alpha1.Portals // as the policy says; may be nil
	isolation.Assessment
	// outOfSight are the findings of before that the policy's status keeps of the pod.
	outOfSight []v1alpha1.PolicyFinding
}

// read gathers what there is, and judges it as the manager does.
func read(ctx context.Context, c client.Reader, key client.ObjectKey, install string, now time.Time) (*explanation, error) {
	e := &explanation{pod: &corev1.Pod{}, install: install, now: now}
	if err := c.Get(ctx, key, e.pod); err != nil {
		return nil, fmt.Errorf("read pod %s/%s: %w", key.Namespace, key.Name, err)
	}
	var namespace corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: key.Namespace}, &namespace); err != nil {
		return nil, fmt.Errorf("read namespace %s, whose labels policies select by: %w", key.Namespace, err)
	}
	var policies v1alpha1.IsolationPolicyList
	if err := c.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("list IsolationPolicies: %w", cluster.NotInstalled(err))
	}
	if err := e.observe(ctx, c); err != nil {
		return nil, err
	}
	volumes, err := cluster.ReadVolumes(ctx, c)
	if err != nil {
		return nil, err
	}
	e.volumes = volumes
	e.judge(namespace.Labels, policies.Items)
	return e, nil
}

// judge asks every policy.
func (e *explanation) judge(namespaceLabels map[string]string, policies []v1alpha1.IsolationPolicy) {
	e.claimed = claimOf(&e.pod.Spec)
	e.subject = isolation.NewSubject(e.pod, namespaceLabels)
	e.volumes.TellOf(e.subject)
	for i := range policies {
		p, err := isolation.Compile(&policies[i])
		if err != nil {
			e.broken = append(e.broken, err.Error())
			continue
		}
		a := p.Assess(e.subject, e.sight)
		if a.Class == isolation.Unmatched {
			e.others++
			continue
		}
		v := verdict{policy: p, portals: policies[i].Spec.Portals, Assessment: a}
		for _, f := range policies[i].Status.OutOfSight {
			if f.UID == e.pod.UID {
				v.outOfSight = append(v.outOfSight, f)
			}
		}
		e.verdicts = append(e.verdicts, v)
	}
}

// observe reads what the agent of the pod's node says.
func (e *explanation) observe(ctx context.Context, c client.Reader) error {
	e.node = e.pod.Spec.NodeName
	if e.node == "" {
		e.sight.Unseen = "it is not on a node yet"
		return nil
	}
	report, lease := &v1alpha1.NodeIsolationReport{}, &coordinationv1.Lease{}
	if err := c.Get(ctx, client.ObjectKey{Name: e.node}, report); apierrors.IsNotFound(err) {
		report = nil
	} else if err != nil {
		return fmt.Errorf("read the report of node %s: %w", e.node, err)
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: e.install, Name: e.node}, lease); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("read the Lease %s/%s, which tells whether the agent is alive: %w", e.install, e.node, err)
	}
	if lease.Spec.RenewTime != nil {
		e.renewed = lease.Spec.RenewTime.Time
	}
	if report != nil && report.Status.ChangedAt != nil {
		e.changed = report.Status.ChangedAt.Time
	}
	sights := ledger.NewSights(map[string]*v1alpha1.NodeIsolationReport{e.node: report}, map[string]time.Time{e.node: e.renewed}, e.now)
	// Who may not read the node, or finds none, is told merely that no agent has reported.
	node := &corev1.Node{}
	if err := c.Get(ctx, client.ObjectKey{Name: e.node}, node); err == nil && ledger.OnWindows(node.Labels) {
		sights.OnWindows(e.node)
	}
	e.sight = sights.Of(e.pod)
	return nil
}

// claimOf is the lowest that the spec claims for any container.
func claimOf(spec *corev1.PodSpec) isolation.Vector {
	var claimed isolation.Vector
	lower := func(name string) {
		if v, ok := isolation.ClaimOf(spec, name); ok {
			claimed.Lower(&v)
		}
	}
	for i := range spec.InitContainers {
		lower(spec.InitContainers[i].Name)
	}
	for i := range spec.Containers {
		lower(spec.Containers[i].Name)
	}
	for i := range spec.EphemeralContainers {
		lower(spec.EphemeralContainers[i].Name)
	}
	return claimed
}

// wrong tells whether a policy is not satisfied.
func (e *explanation) wrong() bool {
	for i := range e.verdicts {
		if len(e.verdicts[i].Findings) > 0 {
			return true
		}
	}
	return len(e.broken) > 0
}
