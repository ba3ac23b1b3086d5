// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
)

// body is the pod as a controller sends it: protobuf, encoded once.
func body(p *corev1.Pod) ([]byte, error) {
	p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	var out bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(p, &out); err != nil {
		return nil, fmt.Errorf("encode the pod: %w", err)
	}
	return out.Bytes(), nil
}

// compliantPod is a pod as Deployments have them: it satisfies the restricted profile of Pod
// Security and every policy of the benchmark.
func compliantPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "web-5d8f7c9b64-",
			Labels:       map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/component": "frontend", "pod-template-hash": "5d8f7c9b64"},
			Annotations:  map[string]string{"checksum/config": "4e1243bd22c66e76c2ba9eddc1f91394e57f9f83", "prometheus.io/scrape": "true"},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{container("migrate", 0)},
			Containers:     []corev1.Container{container("web", 8080), container("metrics", 9090)},
			Volumes: []corev1.Volume{
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}}}},
				{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "web-tls"}}},
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "web"}}},
			},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), FSGroup: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
				MaxSkew: 1, TopologyKey: "topology.kubernetes.io/zone", WhenUnsatisfiable: corev1.ScheduleAnyway,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "web"}},
			}},
		},
	}
}

// container has probes unless its port is 0, as that of an init container.
func container(name string, port int32) corev1.Container {
	c := corev1.Container{
		Name: name, Image: "registry.example/shop/" + name + ":v1.42.0",
		Args: []string{"--config=/etc/web/config.yaml", "--log-level=info"},
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "GOMEMLIMIT", Value: "200MiB"},
			{Name: "DATABASE_URL", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "web-database"}, Key: "url"}}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "tmp", MountPath: "/tmp"},
			{Name: "config", MountPath: "/etc/web", ReadOnly: true},
			{Name: "tls", MountPath: "/etc/web/tls", ReadOnly: true},
			{Name: "data", MountPath: "/var/lib/web"},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	if port == 0 {
		return c
	}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{PeriodSeconds: 10, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString(name)},
		}}
	}
	c.Ports = []corev1.ContainerPort{{Name: name, ContainerPort: port}}
	c.LivenessProbe, c.ReadinessProbe = probe("/healthz"), probe("/readyz")
	return c
}

// probingPod violates the last policy of the benchmark that matches in a case, and no other. It comes with
// the field that the refusal names.
func probingPod(name string) (p *corev1.Pod, field string) {
	p = compliantPod()
	if name == caseFew {
		p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc"}}
		return p, "spec.volumes[0].hostPath"
	}
	p.Spec.Containers[0].Ports[0].HostPort = 80
	return p, "spec.containers[0].ports[0].hostPort"
}
