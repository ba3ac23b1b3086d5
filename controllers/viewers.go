// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	toolscache "k8s.io/client-go/tools/cache"
)

// viewerAPI is a kind of report that viewers of policies read.
type viewerAPI struct {
	kind     schema.GroupVersionKind
	resource string
	// sparse is set if it lacks the fields source and configuration of a report.
	sparse bool
}

// viewerAPIs are all that there are, the one first that is written if there are several.
var viewerAPIs = []viewerAPI{
	{kind: openreports.SchemeGroupVersion.WithKind("Report"), resource: "reports"},
	{kind: schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReport"}, resource: "policyreports", sparse: true},
}

func (a *viewerAPI) gvr() schema.GroupVersionResource {
	return a.kind.GroupVersion().WithResource(a.resource)
}

// encode makes an object of this API of a report.
func (a *viewerAPI) encode(r *openreports.Report) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r)
	if err != nil {
		return nil, fmt.Errorf("encode report %s/%s: %w", r.Namespace, r.Name, err)
	}
	o := &unstructured.Unstructured{Object: content}
	o.SetGroupVersionKind(a.kind)
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	if a.sparse {
		unstructured.RemoveNestedField(o.Object, "source")
	}
	return o, nil
}

// decode reads an object of this API.
func (a *viewerAPI) decode(o *unstructured.Unstructured) (openreports.Report, error) {
	var r openreports.Report
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &r); err != nil {
		return r, fmt.Errorf("read %s %s/%s: %w", a.kind.Kind, o.GetNamespace(), o.GetName(), err)
	}
	return r, nil
}

// fit leaves out of a report what the API has no field for.
func (a *viewerAPI) fit(r *openreports.Report) {
	if a.sparse {
		r.Source, r.Configuration = "", nil
	}
}

// ours selects what the manager made.
var ours = labels.SelectorFromSet(managed).String()

// viewers knows which of the APIs the cluster has, and follows what stands of ours, by its metadata
// alone: reports of other tools are neither read nor kept.
type viewers struct {
	discovery *discovery.DiscoveryClient
	metadata  metadata.Interface
	// changed is told of a report of ours that was written or deleted, by whomever.
	changed func(o *metav1.PartialObjectMetadata, gone bool)
	// refused is told if ours may not be followed.
	refused func(error)
}

// served are the APIs that the cluster has now, in order.
func (v *viewers) served(ctx context.Context) ([]*viewerAPI, error) {
	var out []*viewerAPI
	for i := range viewerAPIs {
		a := &viewerAPIs[i]
		resources, err := v.discovery.ServerResourcesForGroupVersionWithContext(ctx, a.kind.GroupVersion().String())
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("ask whether the API server has %s: %w", a.kind.GroupKind(), err)
		}
		for j := range resources.APIResources {
			if resources.APIResources[j].Name == a.resource {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// RBAC cannot limit this, nor anything else about reports, to ours.
// +kubebuilder:rbac:groups=openreports.io,resources=reports,verbs=list;watch
// +kubebuilder:rbac:groups=wgpolicyk8s.io,resources=policyreports,verbs=list;watch

// follow watches ours until the context ends.
func (v *viewers) follow(ctx context.Context, a *viewerAPI) error {
	informer := metadatainformer.NewFilteredMetadataInformer(v.metadata, a.gvr(), metav1.NamespaceAll, 0, nil,
		func(o *metav1.ListOptions) { o.LabelSelector = ours }).Informer()
	tell := func(o any, gone bool) {
		if unknown, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = unknown.Obj
		}
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			v.changed(m, gone)
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { tell(o, false) },
		UpdateFunc: func(_, o any) { tell(o, false) },
		DeleteFunc: func(o any) { tell(o, true) },
	}); err != nil {
		return fmt.Errorf("follow %s: %w", a.kind.GroupKind(), err)
	}
	if err := informer.SetTransform(func(o any) (any, error) {
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			m.ManagedFields, m.OwnerReferences, m.Annotations = nil, nil, nil
		}
		return o, nil
	}); err != nil {
		return fmt.Errorf("follow %s: %w", a.kind.GroupKind(), err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		if apierrors.IsForbidden(err) {
			v.refused(err)
		} else if !apierrors.IsNotFound(err) {
			toolscache.DefaultWatchErrorHandler(ctx, r, err)
		}
	}); err != nil {
		return fmt.Errorf("follow %s: %w", a.kind.GroupKind(), err)
	}
	go informer.RunWithContext(ctx)
	return nil
}

// +kubebuilder:rbac:groups=openreports.io,resources=reports,verbs=list;delete
// +kubebuilder:rbac:groups=wgpolicyk8s.io,resources=policyreports,verbs=list;delete

// clear deletes ours of an API that is not the one that is written.
func (v *viewers) clear(ctx context.Context, a *viewerAPI) error {
	const page = 500
	list := metav1.ListOptions{LabelSelector: ours, Limit: page}
	for {
		left, err := v.metadata.Resource(a.gvr()).List(ctx, list)
		if err != nil {
			return fmt.Errorf("list what is left of %s: %w", a.kind.GroupKind(), err)
		}
		for i := range left.Items {
			o := &left.Items[i]
			err := v.metadata.Resource(a.gvr()).Namespace(o.Namespace).Delete(ctx, o.Name, metav1.DeleteOptions{
				Preconditions: metav1.NewUIDPreconditions(string(o.UID)),
			})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete %s %s/%s, which is left: %w", a.kind.Kind, o.Namespace, o.Name, err)
			}
		}
		if list.Continue = left.Continue; list.Continue == "" {
			return nil
		}
	}
}

// lookForViewers is how often it is asked whether an API was installed or removed: a watch on all
// CustomResourceDefinitions would keep all their schemas in memory, and need the right to read them.
const lookForViewers = time.Minute
