// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Pod is what is kept of a pod: what says something about isolation, and whose it is. A field that a
// later check reads must not be missing here and pass for want of being there. Pods are by far the most
// of what is in the manager's memory, where this stands in the place of a [corev1.Pod].
type Pod struct {
	metav1.ObjectMeta
	// Spec without the node's name. Pods of one template may share it: it is not to be written to.
	Spec *corev1.PodSpec
	// Node where the pod is; empty if it is on none yet.
	Node  string
	Phase corev1.PodPhase
	// Starting: its phase is Pending, and one of its containers runs already.
	Starting bool
	// Since when it runs; meaningful only if Running.
	Since time.Time
}

// Keep makes of a pod what is kept of it. The pod is used up.
func Keep(pod *corev1.Pod) *Pod {
	out := &Pod{Node: pod.Spec.NodeName, Phase: pod.Status.Phase, Spec: &corev1.PodSpec{}}
	var runs bool
	out.Since, runs = runningSince(pod)
	out.Starting = runs && out.Phase == corev1.PodPending
	pod.Spec.NodeName = ""
	stripSpec(&pod.Spec)
	*out.Spec = pod.Spec
	m := &pod.ObjectMeta
	out.ObjectMeta = metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, Labels: m.Labels,
		Annotations: kept(m.Annotations, corev1.MirrorPodAnnotationKey), OwnerReferences: controllerOf(pod),
	}
	return out
}

// Running tells whether the pod runs, or a part of it: an init container that does not end runs code for as
// long as it likes, and so does a container beside one that is never started, while the phase is Pending.
func (p *Pod) Running() bool { return p.Phase == corev1.PodRunning || p.Starting }

// Ended tells whether its containers are gone for good.
func (p *Pod) Ended() bool { return isolation.EndedIn(p.Phase) }

// Subject is the pod as a subject of policies.
func (p *Pod) Subject(namespaceLabels map[string]string) *isolation.Subject {
	return &isolation.Subject{
		Name: p.Name, Namespace: p.Namespace, NamespaceLabels: namespaceLabels,
		Labels: p.Labels, Spec: p.Spec, Created: p.CreationTimestamp.Time, Path: "spec",
	}
}

// Same tells whether nothing that is judged changed between two states of a pod.
func Same(before, now *Pod) bool {
	return before.UID == now.UID && before.Node == now.Node && before.Phase == now.Phase &&
		before.Starting == now.Starting && before.Since.Equal(now.Since) &&
		maps.Equal(before.Labels, now.Labels) &&
		(before.Spec == now.Spec || equality.Semantic.DeepEqual(before.Spec, now.Spec))
}

// Node is what is kept of a node: what decides whether pods there can be seen, and can have user namespaces.
type Node struct {
	metav1.ObjectMeta
	// Windows: the node runs it.
	Windows bool
	Facts   *isolation.NodeFacts
}

// KeepNode makes of a node what is kept of it. A node lists all of its images, and more.
func KeepNode(node *corev1.Node) *Node {
	return &Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Windows:    OnWindows(node.Labels), Facts: isolation.NodeFactsOf(node),
	}
}

// SameNode tells whether nothing that is judged changed between two states of a node.
func SameNode(before, now *Node) bool {
	return before.Windows == now.Windows && before.Facts.Same(now.Facts)
}

// GetObjectKind says nothing: the type alone tells what it is.
func (n *Node) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject copies everything but the facts, which nobody may write to.
func (n *Node) DeepCopyObject() runtime.Object {
	out := *n
	n.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// GetObjectKind says nothing: the type alone tells what it is.
func (p *Pod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject copies everything but the spec, which nobody may write to.
func (p *Pod) DeepCopyObject() runtime.Object {
	out := *p
	p.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// controllerOf keeps the owner that made the pod: pods are told of by it.
func controllerOf(pod *corev1.Pod) []metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return nil
	}
	return []metav1.OwnerReference{{
		APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name, UID: owner.UID, Controller: owner.Controller,
	}}
}

func kept(annotations map[string]string, key string) map[string]string {
	if value, ok := annotations[key]; ok {
		return map[string]string{key: value}
	}
	return nil
}

func stripSpec(s *corev1.PodSpec) {
	s.Affinity = nil
	s.Tolerations = nil
	s.TopologySpreadConstraints = nil
	s.NodeSelector = nil
	s.ReadinessGates = nil
	s.ImagePullSecrets = nil
	s.HostAliases = nil
	s.DNSConfig = nil
	s.Overhead = nil
	s.Hostname = ""
	s.Subdomain = ""
	s.SchedulerName = ""
	for i := range s.InitContainers {
		stripContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		stripContainer(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		// The API keeps the two types field by field alike for this conversion.
		stripContainer((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
	for i := range s.Volumes {
		stripVolume(&s.Volumes[i].VolumeSource)
	}
	nameToken(s)
}

// tokenVolume begins the name of the volume with the service account's token, which the API server adds
// to every pod. Five random letters follow (plugin/pkg/admission/serviceaccount in Kubernetes).
const tokenVolume = "kube-api-access"

// nameToken drops the random part of that name, so that pods of one template are the same in everything
// that is judged. A volume that has the name already keeps it to itself.
func nameToken(s *corev1.PodSpec) {
	at := -1
	for i := range s.Volumes {
		switch v := &s.Volumes[i]; {
		case v.Name == tokenVolume:
			return
		case v.Projected != nil && len(v.Name) == len(tokenVolume)+6 && strings.HasPrefix(v.Name, tokenVolume+"-"):
			at = i
		}
	}
	if at < 0 {
		return
	}
	random := s.Volumes[at].Name
	s.Volumes[at].Name = tokenVolume
	rename := func(mounts []corev1.VolumeMount) {
		for i := range mounts {
			if mounts[i].Name == random {
				mounts[i].Name = tokenVolume
			}
		}
	}
	for i := range s.InitContainers {
		rename(s.InitContainers[i].VolumeMounts)
	}
	for i := range s.Containers {
		rename(s.Containers[i].VolumeMounts)
	}
	for i := range s.EphemeralContainers {
		rename(s.EphemeralContainers[i].VolumeMounts)
	}
}

func stripContainer(c *corev1.Container) {
	c.Command = nil
	c.Args = nil
	c.Env = nil
	c.EnvFrom = nil
	c.WorkingDir = ""
	c.TerminationMessagePath = ""
	c.Resources = corev1.ResourceRequirements{}
	c.ResizePolicy = nil
}

// stripVolume keeps of which kind a volume is, its path, and its claim. Most are projected tokens and ConfigMaps.
func stripVolume(v *corev1.VolumeSource) {
	if v.Projected != nil {
		v.Projected = &corev1.ProjectedVolumeSource{}
	}
	if v.ConfigMap != nil {
		v.ConfigMap = &corev1.ConfigMapVolumeSource{}
	}
	if v.Secret != nil {
		v.Secret = &corev1.SecretVolumeSource{}
	}
	if v.DownwardAPI != nil {
		v.DownwardAPI = &corev1.DownwardAPIVolumeSource{}
	}
	if v.Ephemeral != nil {
		// The name of its claim is made of those of pod and volume.
		v.Ephemeral = &corev1.EphemeralVolumeSource{}
	}
}
