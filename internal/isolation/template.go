// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The places of the pod's spec in what holds a template.
const (
	inSpec        = "spec.template.spec"
	inJobTemplate = "spec.jobTemplate.spec.template.spec"
	inTemplate    = "template.spec"
)

// workloads are the resources that hold a template of pods, and where; those of a group together.
var workloads = []struct {
	resource metav1.GroupVersionResource
	path     string
}{
	{appsResource("deployments"), inSpec},
	{appsResource("replicasets"), inSpec},
	{appsResource("statefulsets"), inSpec},
	{appsResource("daemonsets"), inSpec},
	{metav1.GroupVersionResource(batchv1.SchemeGroupVersion.WithResource("jobs")), inSpec},
	{metav1.GroupVersionResource(batchv1.SchemeGroupVersion.WithResource("cronjobs")), inJobTemplate},
	{metav1.GroupVersionResource(corev1.SchemeGroupVersion.WithResource("replicationcontrollers")), inSpec},
	{metav1.GroupVersionResource(corev1.SchemeGroupVersion.WithResource("podtemplates")), inTemplate},
}

func appsResource(name string) metav1.GroupVersionResource {
	return metav1.GroupVersionResource(appsv1.SchemeGroupVersion.WithResource(name))
}

// Workloads are the resources from which controllers make pods, those of a group together. Pods
// themselves are not among them.
func Workloads() []metav1.GroupVersionResource {
	out := make([]metav1.GroupVersionResource, len(workloads))
	for i := range workloads {
		out[i] = workloads[i].resource
	}
	return out
}

// TemplatePath is the place of the pod's spec in an object of one of [Workloads], such as
// "spec.template.spec"; empty for other resources.
func TemplatePath(resource metav1.GroupVersionResource) string {
	for i := range workloads {
		if workloads[i].resource == resource {
			return workloads[i].path
		}
	}
	return ""
}

// TemplateOf is the pod, or the template of pods, that a workload holds, and the place of its spec
// for messages: "spec" for a Pod, "spec.template.spec" for a Deployment. The template is nil, and
// the place is given, if the workload has none; the place is empty if the object is no workload.
//
// Workloads are Pod, PodTemplate, ReplicationController, Deployment, ReplicaSet, StatefulSet,
// DaemonSet, Job and CronJob.
func TemplateOf(object any) (template *corev1.PodTemplateSpec, path string) {
	switch o := object.(type) {
	case *corev1.Pod:
		return &corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}, "spec"
	case *corev1.PodTemplate:
		return &o.Template, inTemplate
	case *corev1.ReplicationController:
		return o.Spec.Template, inSpec
	case *appsv1.Deployment:
		return &o.Spec.Template, inSpec
	case *appsv1.ReplicaSet:
		return &o.Spec.Template, inSpec
	case *appsv1.StatefulSet:
		return &o.Spec.Template, inSpec
	case *appsv1.DaemonSet:
		return &o.Spec.Template, inSpec
	case *batchv1.Job:
		return &o.Spec.Template, inSpec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template, inJobTemplate
	default:
		return nil, ""
	}
}

// NewTemplateSubject is what a template's pods will be, in the namespace of its workload, as far as
// the template tells. Created and the labels of the namespace are for the caller to set.
//
// The API server has not put everything into a template that it puts into a pod: injected sidecars
// and defaults come later, so what passes here can still be refused as a pod.
func NewTemplateSubject(template *corev1.PodTemplateSpec, namespace, path string) *Subject {
	return &Subject{Namespace: namespace, Labels: template.Labels, Spec: &template.Spec, Path: path}
}
