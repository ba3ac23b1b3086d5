// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// target is a pod or a template that was judged.
type target struct {
	// Kind, name and place of the object that holds it.
	kind, name string
	place      manifest.Place
	// subject without its spec, and without what is known of its namespace.
	subject isolation.Subject
	// judged are the judgements of the policies that match in some namespace.
	judged []judgement
}

// found is what an object of the input is to the judgement: one of these, or nothing.
type found struct {
	target    *target
	namespace *corev1.Namespace
	policy    string // its name
}

// known are the groups of the kinds that are judged: in them, a kind that does not exist is a
// mistake, and overlooking it would pass a pod.
var known = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // types of one group cannot clash with themselves
		}
	}
	return s
})

// workloads are the versions of the kinds that are judged, by kind.
var workloads = sync.OnceValue(func() map[string]schema.GroupVersionKind {
	byKind := make(map[string]schema.GroupVersionKind)
	for gvk := range known().AllKnownTypes() {
		if workloadOf(gvk) != nil {
			byKind[gvk.Kind] = gvk
		}
	}
	return byKind
})

// workloadOf is an empty object of the kind if it holds pods, else nil.
func workloadOf(gvk schema.GroupVersionKind) runtime.Object {
	o, err := known().New(gvk)
	if err != nil {
		return nil // not registered: no kind that is judged
	}
	if _, path := isolation.TemplateOf(o); path == "" {
		return nil
	}
	return o
}

func core(kind string) schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind(kind) }

// misnamed refuses what would have to be judged and cannot be told what it is.
func misnamed(gvk schema.GroupVersionKind) error {
	judged, is := workloads()[gvk.Kind]
	if former := gvk.Group == judged.Group || gvk.Group == "extensions"; is && former && gvk != judged {
		return fmt.Errorf("%s of %q is not served by Kubernetes: use apiVersion %s",
			gvk.Kind, gvk.GroupVersion(), judged.GroupVersion())
	}
	switch gvk.Group {
	case corev1.GroupName, appsv1.GroupName, batchv1.GroupName:
		if !known().Recognizes(gvk) {
			return fmt.Errorf("there is no kind %q in apiVersion %q", gvk.Kind, gvk.GroupVersion())
		}
	}
	return nil
}

// take judges an object of the input if it is a workload. It is called from several goroutines.
func (g *gathered) take(o *manifest.Object) (found, error) {
	if workload := workloadOf(o.GVK); workload != nil {
		t, err := g.judge(o, workload)
		return found{target: t}, err
	}
	switch o.GVK {
	case core("Namespace"):
		ns, err := namespaceOf(o)
		return found{namespace: ns}, err
	case policies.Kind:
		var p metav1.PartialObjectMetadata
		// Of a policy only the name counts: it was given by --policy, or is left out.
		err := json.Unmarshal(o.JSON, &p)
		return found{policy: p.Name}, err
	default:
		return found{}, misnamed(o.GVK)
	}
}

// judge judges the pod or template of an object by all policies.
func (g *gathered) judge(o *manifest.Object, workload runtime.Object) (*target, error) {
	if err := o.Decode(workload); err != nil {
		return nil, err
	}
	template, path := isolation.TemplateOf(workload)
	if template == nil || len(template.Spec.Containers) == 0 {
		return nil, errors.New(path + ".containers is missing or empty: is the file cut off?")
	}
	meta, ok := workload.(metav1.Object)
	if !ok {
		return nil, fmt.Errorf("%s has no metadata", o.Kind())
	}
	t := &target{kind: o.GVK.Kind, name: meta.GetName()}
	if t.name == "" {
		t.name = meta.GetGenerateName()
	}
	namespace := meta.GetNamespace()
	if namespace == "" {
		namespace = g.namespace
	}
	t.subject = *isolation.NewTemplateSubject(template, namespace, path)
	// What a manifest says of its own creation counts for nothing: the API server sets it.
	t.subject.Created = g.now
	for _, p := range g.policies {
		if j, matches := p.judge(o, t.subject); matches {
			t.judged = append(t.judged, j)
		}
	}
	t.subject.Spec = nil // of a thousand pods it would be megabytes
	return t, nil
}
