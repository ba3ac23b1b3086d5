// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/cluster"
)

// each visits all objects of a kind, a page at a time: there may be very many. kinds is its plural.
func each[T client.Object](ctx context.Context, c client.Reader, kinds string, empty client.ObjectList, visit func(T), options ...client.ListOption) error {
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		list := empty.DeepCopyObject().(client.ObjectList)
		return list, c.List(ctx, list, append(options[:len(options):len(options)], client.Limit(o.Limit), client.Continue(o.Continue))...)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		visit(o.(T))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", kinds, cluster.NotInstalled(err))
	}
	return nil
}

// eachPod visits the pods that the report is about.
func (in *surroundings) eachPod(ctx context.Context, c client.Reader, visit func(*corev1.Pod)) error {
	return each(ctx, c, "pods", &corev1.PodList{}, visit, client.InNamespace(in.Namespace))
}

// read gathers everything but the pods.
func (in *surroundings) read(ctx context.Context, c client.Reader, install string) error {
	in.Nodes = make(map[string]*corev1.Node)
	in.Reports = make(map[string]*v1alpha1.NodeIsolationReport)
	in.Agents = make(map[string]time.Time)
	in.Handlers = make(map[string]string)
	var err error
	in.Volumes, err = cluster.ReadVolumes(ctx, c)
	return errors.Join(
		err,
		in.readNamespaces(ctx, c),
		each(ctx, c, "IsolationPolicies", &v1alpha1.IsolationPolicyList{}, func(p *v1alpha1.IsolationPolicy) { in.Policies = append(in.Policies, *p) }),
		each(ctx, c, "NodeIsolationReports", &v1alpha1.NodeIsolationReportList{}, func(r *v1alpha1.NodeIsolationReport) { in.Reports[r.Name] = r }),
		each(ctx, c, "nodes", &corev1.NodeList{}, func(n *corev1.Node) {
			// A node lists all of its images, and more.
			in.Nodes[n.Name] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelOSStable: n.Labels[corev1.LabelOSStable]}}, Status: corev1.NodeStatus{NodeInfo: n.Status.NodeInfo, RuntimeHandlers: n.Status.RuntimeHandlers}}
		}),
		each(ctx, c, "RuntimeClasses", &nodev1.RuntimeClassList{}, func(r *nodev1.RuntimeClass) { in.Handlers[r.Name] = r.Handler }),
		each(ctx, c, "Leases", &coordinationv1.LeaseList{}, func(l *coordinationv1.Lease) {
			if l.Spec.RenewTime != nil {
				in.Agents[l.Name] = l.Spec.RenewTime.Time
			}
		}, client.InNamespace(install), client.MatchingLabels{v1alpha1.LabelLease: v1alpha1.LeaseAgent}),
	)
}

// readNamespaces reads the labels of one namespace, or of all.
func (in *surroundings) readNamespaces(ctx context.Context, c client.Reader) error {
	in.Namespaces = make(map[string]labels.Set)
	if in.Namespace == "" {
		return each(ctx, c, "namespaces", &corev1.NamespaceList{}, func(n *corev1.Namespace) { in.Namespaces[n.Name] = n.Labels })
	}
	var n corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: in.Namespace}, &n); apierrors.IsNotFound(err) {
		return fmt.Errorf("--namespace %q: the cluster has no such namespace", in.Namespace)
	} else if err != nil {
		return fmt.Errorf("read namespace %s, whose labels policies select by: %w", in.Namespace, err)
	}
	in.Namespaces[n.Name] = n.Labels
	return nil
}
