// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// TemplateOf is the pod, or the template of pods, that a workload holds, and the place of its spec
// for messages: "spec" for a Pod, "spec.template.spec" for a Deployment. The template is nil, and
// the place is given, if the workload has none; the place is empty if the object is no workload.
//
// Workloads are Pod, PodTemplate, ReplicationController, Deployment, ReplicaSet, StatefulSet,
// DaemonSet, Job and CronJob.
func TemplateOf(object any) (template *corev1.PodTemplateSpec, path string) {
	const nested = "spec.template.spec"
	switch o := object.(type) {
	case *corev1.Pod:
		return &corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}, "spec"
	case *corev1.PodTemplate:
		return &o.Template, "template.spec"
	case *corev1.ReplicationController:
		return o.Spec.Template, nested
	case *appsv1.Deployment:
		return &o.Spec.Template, nested
	case *appsv1.ReplicaSet:
		return &o.Spec.Template, nested
	case *appsv1.StatefulSet:
		return &o.Spec.Template, nested
	case *appsv1.DaemonSet:
		return &o.Spec.Template, nested
	case *batchv1.Job:
		return &o.Spec.Template, nested
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template, "spec.jobTemplate.spec.template.spec"
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
