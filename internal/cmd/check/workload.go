// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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

// target is a pod or a template that is judged.
type target struct {
	// Kind and name of the object that holds it.
	kind, name string
	// subject without what is known of its namespace.
	subject isolation.Subject
}

// workload reads the pod or template that an object holds.
type workload func(*manifest.Object) (metav1.Object, *corev1.PodTemplateSpec, error)

// kind is a kind that holds pods: where, and how it is read.
type kind struct {
	path string
	read workload
}

// kinds are the kinds that are judged.
var kinds = map[schema.GroupVersionKind]kind{
	core("Pod"): {"spec", reads(func(p *corev1.Pod) *corev1.PodTemplateSpec {
		return &corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
	})},
	core("PodTemplate"): {"template.spec", reads(func(t *corev1.PodTemplate) *corev1.PodTemplateSpec {
		return &t.Template
	})},
	core("ReplicationController"): {"spec.template.spec", reads(func(c *corev1.ReplicationController) *corev1.PodTemplateSpec {
		return c.Spec.Template
	})},
	apps("Deployment"): {"spec.template.spec", reads(func(d *appsv1.Deployment) *corev1.PodTemplateSpec {
		return &d.Spec.Template
	})},
	apps("ReplicaSet"): {"spec.template.spec", reads(func(r *appsv1.ReplicaSet) *corev1.PodTemplateSpec {
		return &r.Spec.Template
	})},
	apps("StatefulSet"): {"spec.template.spec", reads(func(s *appsv1.StatefulSet) *corev1.PodTemplateSpec {
		return &s.Spec.Template
	})},
	apps("DaemonSet"): {"spec.template.spec", reads(func(d *appsv1.DaemonSet) *corev1.PodTemplateSpec {
		return &d.Spec.Template
	})},
	batch("Job"): {"spec.template.spec", reads(func(j *batchv1.Job) *corev1.PodTemplateSpec {
		return &j.Spec.Template
	})},
	batch("CronJob"): {"spec.jobTemplate.spec.template.spec", reads(func(j *batchv1.CronJob) *corev1.PodTemplateSpec {
		return &j.Spec.JobTemplate.Spec.Template
	})},
}

func core(kind string) schema.GroupVersionKind  { return corev1.SchemeGroupVersion.WithKind(kind) }
func apps(kind string) schema.GroupVersionKind  { return appsv1.SchemeGroupVersion.WithKind(kind) }
func batch(kind string) schema.GroupVersionKind { return batchv1.SchemeGroupVersion.WithKind(kind) }

// reads makes a workload of a type and the place of its template.
func reads[T any](template func(*T) *corev1.PodTemplateSpec) workload {
	return func(o *manifest.Object) (metav1.Object, *corev1.PodTemplateSpec, error) {
		into := new(T)
		if err := o.Decode(into); err != nil {
			return nil, nil, err
		}
		// Every type in the table has an ObjectMeta.
		return any(into).(metav1.Object), template(into), nil
	}
}

// known are the groups of the kinds that are judged: in them, a kind that does not exist is a
// mistake, and overlooking it would pass a pod.
var known = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // types of one group cannot clash with themselves
		}
	}
	return s
}()

// misnamed refuses what would have to be judged and cannot be told what it is.
func misnamed(gvk schema.GroupVersionKind) error {
	for judged := range kinds {
		former := gvk.Group == judged.Group || gvk.Group == "extensions"
		if former && gvk.Kind == judged.Kind && gvk != judged {
			return fmt.Errorf("%s of %q is not served by Kubernetes: use apiVersion %s",
				gvk.Kind, gvk.GroupVersion(), judged.GroupVersion())
		}
	}
	switch gvk.Group {
	case corev1.GroupName, appsv1.GroupName, batchv1.GroupName:
		if !known.Recognizes(gvk) {
			return fmt.Errorf("there is no kind %q in apiVersion %q", gvk.Kind, gvk.GroupVersion())
		}
	}
	return nil
}

// takeManifests finds what is to be judged.
func (g *gathered) takeManifests(in manifest.Input, namespace string, now time.Time) {
	g.notes = append(g.notes, in.Notes...)
	g.problems = append(g.problems, in.Problems...)
	var others, unapplied tally
	given := make(namespaces)
	for i := range in.Objects {
		o := &in.Objects[i]
		var err error
		switch k, judged := kinds[o.GVK]; {
		case judged:
			var t target
			if t, err = k.target(o, namespace, now); err == nil {
				g.targets = append(g.targets, t)
			}
		case o.GVK == core("Namespace"):
			err = given.take(o)
		case o.GVK == policies.Kind:
			if !g.judgesBy(o) {
				unapplied.add(o.Kind())
			}
		default:
			if err = misnamed(o.GVK); err == nil {
				others.add(o.Kind())
			}
		}
		g.problems = append(g.problems, manifest.Problems(o.Place, err)...)
	}
	g.notes = append(g.notes, g.namespaces.override(given)...)
	if n := unapplied.total; n > 0 {
		g.notes = append(g.notes, fmt.Sprintf("policies in the input are not judged by unless --policy names their file; left out: %s", unapplied))
	}
	if n := others.total; n > 0 {
		g.notes = append(g.notes, fmt.Sprintf("%s not judged: %s", plural(n, "object of another kind was", "objects of other kinds were"), others))
	}
	if len(g.targets) == 0 && len(g.problems) == 0 {
		g.notes = append(g.notes, "nothing was judged: the input holds no pod and no workload")
	}
}

// judgesBy tells whether a policy in the input was also given by --policy.
func (g *gathered) judgesBy(o *manifest.Object) bool {
	var named struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(o.JSON, &named); err != nil {
		return false
	}
	return slices.ContainsFunc(g.policies, func(p *isolation.Policy) bool { return p.Name == named.Metadata.Name })
}

func (k *kind) target(o *manifest.Object, namespace string, now time.Time) (target, error) {
	object, template, err := k.read(o)
	if err != nil {
		return target{}, err
	}
	if template == nil || len(template.Spec.Containers) == 0 {
		return target{}, errors.New(k.path + ".containers is missing or empty: is the file cut off?")
	}
	spec := &template.Spec
	if spec.ServiceAccountName == "" {
		// The API server takes the former name of the field for it.
		spec.ServiceAccountName = spec.DeprecatedServiceAccount
	}
	t := target{kind: o.GVK.Kind, name: object.GetName()}
	if t.name == "" {
		t.name = object.GetGenerateName()
	}
	t.subject = isolation.Subject{
		Namespace: object.GetNamespace(), Labels: template.Labels, Spec: spec,
		// What a manifest says of its own creation counts for nothing: the API server sets it.
		Created: now, Path: k.path,
	}
	if t.subject.Namespace == "" {
		t.subject.Namespace = namespace
	}
	return t, nil
}

// tally counts names in the order of their first appearance.
type tally struct {
	names  []string
	counts map[string]int
	total  int
}

func (t *tally) add(name string) {
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	if t.counts[name] == 0 {
		t.names = append(t.names, name)
	}
	t.counts[name]++
	t.total++
}

// String lists the names, with their counts where there are several: "Service (2), ConfigMap".
func (t tally) String() string {
	parts := make([]string, len(t.names))
	for i, name := range t.names {
		parts[i] = name
		if n := t.counts[name]; n > 1 {
			parts[i] += " (" + strconv.Itoa(n) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// plural is "1 one" or "n many".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
