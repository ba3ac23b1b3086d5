// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// anUpdate is one that changes nothing that Bulkhead judges.
type anUpdate struct {
	name string
	do   func(ctx context.Context, c client.Client, pod *corev1.Pod) error
}

// edit is a merge of what the function changes.
func edit(change func(*corev1.Pod)) func(context.Context, client.Client, *corev1.Pod) error {
	return func(ctx context.Context, c client.Client, pod *corev1.Pod) error {
		before := pod.DeepCopy()
		change(pod)
		return c.Patch(ctx, pod, client.MergeFrom(before))
	}
}

func subresource(name string, change func(*corev1.Pod)) func(context.Context, client.Client, *corev1.Pod) error {
	return func(ctx context.Context, c client.Client, pod *corev1.Pod) error {
		before := pod.DeepCopy()
		change(pod)
		return c.SubResource(name).Patch(ctx, pod, client.MergeFrom(before))
	}
}

// harmlessUpdates are done one after the other to one pod, in this order.
var harmlessUpdates = []anUpdate{
	{"a label is added", edit(func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} })},
	{"an annotation is added", edit(func(p *corev1.Pod) { p.Annotations = map[string]string{"note": "seen"} })},
	{"a finalizer is added", edit(func(p *corev1.Pod) { p.Finalizers = []string{"example.com/hold"} })},
	{"an image is changed", edit(func(p *corev1.Pod) { p.Spec.Containers[0].Image = "registry.k8s.io/pause:3.10" })},
	{"a toleration is added", edit(func(p *corev1.Pod) {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "example.com/spot", Operator: corev1.TolerationOpExists})
	})},
	{"a deadline is set", edit(func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr.To[int64](3600) })},
	{"a scheduling gate is taken away", edit(func(p *corev1.Pod) { p.Spec.SchedulingGates = nil })},
	{"it is bound to a node", func(ctx context.Context, c client.Client, pod *corev1.Pod) error {
		return c.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-a"}})
	}},
	{"its status is written", subresource("status", func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	})},
	{"it is resized in place", subresource("resize", func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("20m")
	})},
	{"it is evicted", func(ctx context.Context, c client.Client, pod *corev1.Pod) error {
		return c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{})
	}},
	{"its finalizer is taken away while it is being deleted", edit(func(p *corev1.Pod) { p.Finalizers = nil })},
	{"it is deleted at once", func(ctx context.Context, c client.Client, pod *corev1.Pod) error {
		return c.Delete(ctx, pod, client.GracePeriodSeconds(0))
	}},
}

// openToEverything violates every covered control that the API lets one pod violate together.
func openToEverything(p *corev1.Pod) {
	p.Spec.HostPID, p.Spec.HostNetwork, p.Spec.HostIPC = true, true, true
	p.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: "/"},
	}}}
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/later"}}
	c := &p.Spec.Containers[0]
	c.SecurityContext = &corev1.SecurityContext{
		Privileged:   ptr.To(true),
		Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}},
	}
	c.Ports = []corev1.ContainerPort{{ContainerPort: 8080, HostPort: 8080}}
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Host: "127.0.0.1", Port: intstr.FromInt32(8080)},
	}}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}
	c.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
	}
}

// newPod is a pod that violates nothing, but for what the edits do.
func newPod(namespace string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-", Namespace: namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.k8s.io/pause"}}},
	}
	for _, e := range edits {
		e(p)
	}
	return p
}

func (s *server) newNamespace(ctx context.Context, t *testing.T) *corev1.Namespace {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "updates-"}}
	NewWithT(t).Expect(s.Client.Create(ctx, n)).To(Succeed())
	return n
}

// updatesLevel is the one at which the controls are strictest for all that is tried here.
var updatesLevel = api.LevelVersion{Level: api.LevelBaseline, Version: api.MajorMinorVersion(1, 34)}

// label puts the namespace under the policies, and waits until new pods are judged in it.
func (s *server) label(ctx context.Context, t *testing.T, n *corev1.Namespace) {
	t.Helper()
	g := NewWithT(t)
	before := n.DeepCopy()
	n.Labels = map[string]string{
		api.EnforceLevelLabel:   string(updatesLevel.Level),
		api.EnforceVersionLabel: updatesLevel.Version.String(),
	}
	g.Expect(s.Client.Patch(ctx, n, client.MergeFrom(before))).To(Succeed())
	s.untilRefused(ctx, t, n.Name)
}

// untilRefused waits until each of the policies refuses what it is there to refuse.
func (s *server) untilRefused(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	g := NewWithT(t)
	privileged := func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	}
	withProbe := func(p *corev1.Pod) {
		p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
			TCPSocket: &corev1.TCPSocketAction{Host: "127.0.0.1", Port: intstr.FromInt32(8080)},
		}}
	}
	for _, violating := range []func(*corev1.Pod){privileged, withProbe} {
		g.Eventually(func() error {
			return s.Client.Create(ctx, newPod(namespace, violating), client.DryRunAll)
		}).WithTimeout(soon).Should(MatchError(ContainSubstring("pod-security")))
	}
}

// runUpdates tries what the suite lacks: updates.
func (s *server) runUpdates(t *testing.T, title string, engine v1alpha1.AdmissionEngine) {
	ctx := t.Context()
	g := NewWithT(t)
	roomy := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")}
	g.Expect(s.Client.Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-a"},
		Status:     corev1.NodeStatus{Capacity: roomy, Allocatable: roomy},
	})).To(Succeed())
	n := s.newNamespace(ctx, t)
	violating := newPod(n.Name, openToEverything)
	g.Expect(s.Client.Create(ctx, violating)).To(Succeed())
	debugged := make([]*corev1.Pod, len(debugCases))
	for i := range debugCases {
		debugged[i] = s.before(ctx, t, n, &debugCases[i])
	}
	s.label(ctx, t, n)
	g.Expect(s.Client.Create(ctx, newPod(n.Name, openToEverything), client.DryRunAll)).NotTo(Succeed())

	oracle, err := newOracle()
	g.Expect(err).NotTo(HaveOccurred())
	var debugs, updates int
	for i := range debugCases {
		if t.Run(debugCases[i].name, func(t *testing.T) {
			s.debug(ctx, t, &debugCases[i], debugged[i], oracle, engine)
		}) {
			debugs++
		}
	}
	for _, u := range harmlessUpdates {
		if t.Run("never in the way when "+u.name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(s.Client.Get(ctx, client.ObjectKeyFromObject(violating), violating)).To(Succeed())
			g.Expect(u.do(ctx, s.Client, violating)).To(Succeed())
		}) {
			updates++
		}
	}
	fmt.Printf("\n%s, what the suite lacks:\n  passed %6d of %d debug containers, added by an update\n  passed %6d of %d updates that must not be in the way\n",
		title, debugs, len(debugCases), updates, len(harmlessUpdates))
}
