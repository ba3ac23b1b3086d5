// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// errNoNode: the API does not know the node, or has not been asked yet. The report belongs to it.
var errNoNode = errors.New("the API does not know the node yet")

// RBAC cannot limit this to the node's own: config/rbac/agent/own_node_only.yaml does.
// +kubebuilder:rbac:groups=bulkhead.dev,resources=nodeisolationreports,verbs=get;create
// +kubebuilder:rbac:groups=bulkhead.dev,resources=nodeisolationreports/status,verbs=update
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=bulkhead-system,resources=leases,verbs=get;create;update

// publisher writes the node's report and lease, and nothing else.
type publisher struct {
	nodeName string
	reports  rest.Interface
	leases   coordinationclient.LeaseInterface
	// node is what report and lease belong to; nil if it is not known.
	node func() *corev1.Node

	// current is the report as it was last read or written; nil if that is not known.
	current *v1alpha1.NodeIsolationReport
}

const reportResource = "nodeisolationreports"

// newPublisher is a publisher with a client for the kinds of this API group.
func newPublisher(config *rest.Config, nodeName string, leases coordinationclient.LeaseInterface, node func() *corev1.Node) (*publisher, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("make the kinds of %s known: %w", v1alpha1.GroupVersion, err)
	}
	config = rest.CopyConfig(config)
	if config.UserAgent == "" {
		// As the clients of Kubernetes' own kinds do; this one would be nobody in the API server's logs.
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", v1alpha1.GroupVersion, err)
	}
	return &publisher{nodeName: nodeName, reports: client, leases: leases, node: node}, nil
}

// read reads the report. It is empty if there is none.
func (p *publisher) read(ctx context.Context) (*v1alpha1.NodeIsolationReport, error) {
	report := &v1alpha1.NodeIsolationReport{}
	err := p.reports.Get().Resource(reportResource).Name(p.nodeName).Do(ctx).Into(report)
	if apierrors.IsNotFound(err) {
		p.current = nil
		return &v1alpha1.NodeIsolationReport{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the report of node %q: %w", p.nodeName, err)
	}
	p.current = report
	return report, nil
}

// publish makes the report say what the sighting does. written is false if it did already. A report
// that somebody else removed is made anew, one that somebody else changed is put right.
func (p *publisher) publish(ctx context.Context, s *Sighting) (written bool, err error) {
	for range 3 {
		written, err = p.write(ctx, s)
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
		p.current = nil
	}
	if err != nil {
		p.current = nil
		return false, fmt.Errorf("write the report of node %q: %w", p.nodeName, err)
	}
	return written, nil
}

func (p *publisher) write(ctx context.Context, s *Sighting) (bool, error) {
	if p.current == nil {
		if _, err := p.read(ctx); err != nil {
			return false, err
		}
	}
	if p.current == nil {
		if err := p.create(ctx); err != nil {
			return false, err
		}
	}
	status, changed := StatusOf(s, &p.current.Status)
	if !changed {
		return false, nil
	}
	update := p.current.DeepCopy()
	update.Status = status
	got := &v1alpha1.NodeIsolationReport{}
	err := p.reports.Put().Resource(reportResource).Name(p.nodeName).SubResource("status").
		Body(update).Do(ctx).Into(got)
	if err != nil {
		return false, err
	}
	p.current = got
	return true, nil
}

// create makes an empty report that belongs to the node.
func (p *publisher) create(ctx context.Context) error {
	owners, err := p.owners()
	if err != nil {
		return err
	}
	report := &v1alpha1.NodeIsolationReport{
		ObjectMeta: metav1.ObjectMeta{Name: p.nodeName, OwnerReferences: owners},
	}
	got := &v1alpha1.NodeIsolationReport{}
	if err := p.reports.Post().Resource(reportResource).Body(report).Do(ctx).Into(got); err != nil {
		return err
	}
	p.current = got
	return nil
}

// owners is the node: with it go its report and its lease.
func (p *publisher) owners() ([]metav1.OwnerReference, error) {
	node := p.node()
	if node == nil {
		return nil, errNoNode
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}, nil
}

// renew renews the lease, and makes it if there is none.
func (p *publisher) renew(ctx context.Context, now time.Time) error {
	lease, err := p.leases.Get(ctx, p.nodeName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		owners, ownersErr := p.owners()
		if ownersErr != nil {
			return fmt.Errorf("make the lease of node %q: %w", p.nodeName, ownersErr)
		}
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: p.nodeName, OwnerReferences: owners}}
		p.fill(lease, now)
		_, err = p.leases.Create(ctx, lease, metav1.CreateOptions{})
	case err == nil:
		p.fill(lease, now)
		_, err = p.leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("renew the lease of node %q: %w", p.nodeName, err)
	}
	return nil
}

func (p *publisher) fill(lease *coordinationv1.Lease, now time.Time) {
	if lease.Labels == nil {
		lease.Labels = make(map[string]string)
	}
	lease.Labels[v1alpha1.LabelLease] = v1alpha1.LeaseAgent
	lease.Spec.HolderIdentity = ptr.To(p.nodeName)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(v1alpha1.AgentLeaseSeconds))
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
}
