// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

const (
	// soon is when everything should have happened, on a slow machine.
	soon = time.Minute
	// while is how long nothing may happen.
	while = 3 * time.Second
)

// isolated are the levels of a pod at its best.
var isolated = v1alpha1.Levels{
	PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Pod", Cgroup: "Container", Time: "Host",
}

// onHostPID are the levels of a pod in the node's process namespace.
func onHostPID() v1alpha1.Levels {
	l := isolated
	l.PID = v1alpha1.LevelHost
	return l
}

// create creates an object that goes when the spec ends.
func create[T client.Object](ctx context.Context, o T) T {
	GinkgoHelper()
	Expect(cluster.Create(ctx, o)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(cluster.Delete(ctx, o, client.GracePeriodSeconds(0)))).To(Succeed())
	})
	return o
}

// aNamespace is a namespace of the spec's own, labelled with its name.
func aNamespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	Expect(cluster.Create(ctx, ns)).To(Succeed())
	ns.Labels["tenancy"] = ns.Name
	Expect(cluster.Update(ctx, ns)).To(Succeed())
	return ns.Name
}

// aPolicy is a Deny policy for one namespace that demands pid Container and network Pod.
func aPolicy(ctx context.Context, namespace string, change ...func(*v1alpha1.IsolationPolicy)) *v1alpha1.IsolationPolicy {
	GinkgoHelper()
	p := &v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "policy-"},
		Spec: v1alpha1.IsolationPolicySpec{
			Match:     &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": namespace}}},
			Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod"},
			Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny},
		},
	}
	for _, f := range change {
		f(p)
	}
	return create(ctx, p)
}

// running is a pod that the kubelet of a node says has been running for so long.
func running(ctx context.Context, namespace, name, node string, age time.Duration, change ...func(*corev1.Pod)) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	for _, f := range change {
		f(pod)
	}
	create(ctx, pod)
	started := metav1.NewTime(time.Now().Add(-age))
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "app", Image: "app", ContainerID: "containerd://" + name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}},
	}}
	Expect(cluster.Status().Update(ctx, pod)).To(Succeed())
	return pod
}

func onHost(pod *corev1.Pod) { pod.Spec.HostPID = true }

// agent plays the agent of a node.
type agent struct{ node string }

// anAgent is an agent that is alive and sees no pods, on a node of its own.
func anAgent(ctx context.Context) *agent {
	GinkgoHelper()
	a := &agent{fmt.Sprintf("node-%d", time.Now().UnixNano())}
	create(ctx, &v1alpha1.NodeIsolationReport{ObjectMeta: metav1.ObjectMeta{Name: a.node}})
	a.sees(ctx)
	create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: installed, Name: a.node, Labels: map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseAgent},
	}})
	a.renewed(ctx, 0)
	return a
}

// renewed makes the agent have renewed its Lease so long ago.
func (a *agent) renewed(ctx context.Context, ago time.Duration) {
	GinkgoHelper()
	lease := &coordinationv1.Lease{}
	Expect(cluster.Get(ctx, client.ObjectKey{Namespace: installed, Name: a.node}, lease)).To(Succeed())
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now().Add(-ago)))
	Expect(cluster.Update(ctx, lease)).To(Succeed())
}

// sees makes the agent report pods with their levels.
func (a *agent) sees(ctx context.Context, groups ...v1alpha1.ObservedGroup) {
	GinkgoHelper()
	a.report(ctx, func(s *v1alpha1.NodeIsolationReportStatus) { s.Groups = groups })
}

// report changes the agent's report.
func (a *agent) report(ctx context.Context, change func(*v1alpha1.NodeIsolationReportStatus)) {
	GinkgoHelper()
	r := &v1alpha1.NodeIsolationReport{}
	Expect(cluster.Get(ctx, client.ObjectKey{Name: a.node}, r)).To(Succeed())
	r.Status.Node = v1alpha1.NodeFacts{BootID: "boot", KernelVersion: "6.18"}
	setCondition(&r.Status, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonLooking)
	setCondition(&r.Status, v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonEstablished)
	change(&r.Status)
	Expect(cluster.Status().Update(ctx, r)).To(Succeed())
}

func setCondition(s *v1alpha1.NodeIsolationReportStatus, kind string, status metav1.ConditionStatus, reason string) {
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason})
}

// at names pods with the levels they were seen at, looked at closely.
func at(levels v1alpha1.Levels, pods ...*corev1.Pod) v1alpha1.ObservedGroup {
	g := v1alpha1.ObservedGroup{Levels: levels, Inspected: true, Pods: []v1alpha1.ObservedPod{}}
	for _, p := range pods {
		g.Pods = append(g.Pods, v1alpha1.ObservedPod{UID: p.UID, Namespace: p.Namespace, Name: p.Name})
	}
	return g
}

// endpoints makes replicas ready behind the webhook's Service.
func endpoints(ctx context.Context, replicas ...string) {
	GinkgoHelper()
	Expect(server.BehindWebhook(ctx, replicas...)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(server.BehindWebhook(ctx)).To(Succeed()) })
}

// serves makes a replica say that it serves a generation of a policy.
func serves(ctx context.Context, name string, p *v1alpha1.IsolationPolicy, generation int64) {
	GinkgoHelper()
	served(ctx, name, p, generation, 0)
}

// served makes a replica have said so some time ago.
func served(ctx context.Context, name string, p *v1alpha1.IsolationPolicy, generation int64, ago time.Duration) {
	GinkgoHelper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: v1alpha1.WebhookLeasePrefix + name}}
	_, err := controllerutil.CreateOrUpdate(ctx, cluster, lease, func() error {
		lease.Labels = map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseWebhook}
		lease.Annotations = map[string]string{v1alpha1.AnnotationServed: v1alpha1.Served{p.UID: generation}.Encode()}
		lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now().Add(-ago)))
		return nil
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) { Expect(client.IgnoreNotFound(cluster.Delete(ctx, lease))).To(Succeed()) })
}

// certify fills the webhook's Secret, and takes it and the configuration away when the spec ends:
// nobody serves the webhook here, so what is asked about is refused.
func certify(ctx context.Context, ca []byte) {
	GinkgoHelper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: v1alpha1.WebhookSecretName}}
	_, err := controllerutil.CreateOrUpdate(ctx, cluster, secret, func() error {
		secret.Data = map[string][]byte{"ca.crt": ca}
		return nil
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(uncertify)
}

// uncertify takes Secret and configuration away, and waits until the controller has noticed.
func uncertify(ctx context.Context) {
	GinkgoHelper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: v1alpha1.WebhookSecretName}}
	Expect(client.IgnoreNotFound(cluster.Delete(ctx, secret))).To(Succeed())
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName}}
	Eventually(func(g Gomega) {
		g.Expect(client.IgnoreNotFound(cluster.Delete(ctx, configuration))).To(Succeed())
		// Nothing but the webhook refuses this.
		p := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "trial-"}, Spec: v1alpha1.IsolationPolicySpec{
			Isolation: &v1alpha1.Isolation{PID: "Pod"}, Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
		}}
		g.Expect(cluster.Create(ctx, p, client.DryRunAll)).To(Succeed())
	}).WithTimeout(soon).WithPolling(400 * time.Millisecond).MustPassRepeatedly(3).Should(Succeed())
}

// statusOf reads a policy's status.
func statusOf(ctx context.Context, p *v1alpha1.IsolationPolicy) func() (v1alpha1.IsolationPolicyStatus, error) {
	return func() (v1alpha1.IsolationPolicyStatus, error) {
		got := &v1alpha1.IsolationPolicy{}
		err := cluster.Get(ctx, client.ObjectKeyFromObject(p), got)
		return got.Status, err
	}
}

// counts matches a status by its pods.
func counts(n v1alpha1.PodCounts) gomegatypes.GomegaMatcher { return HaveField("Pods", n) }

// condition matches a status by one of its conditions.
func condition(kind string, status metav1.ConditionStatus, reason string) gomegatypes.GomegaMatcher {
	return HaveField("Conditions", ContainElement(SatisfyAll(
		HaveField("Type", kind), HaveField("Status", status), HaveField("Reason", reason))))
}

// eventsOn are the events on pods of a namespace: pod, type, reason, and how often.
func eventsOn(ctx context.Context, namespace string) func() ([]string, error) {
	return func() ([]string, error) {
		var list eventsv1.EventList
		err := cluster.List(ctx, &list, client.InNamespace(namespace))
		out := []string{}
		for _, e := range list.Items {
			n := int32(1)
			if e.Series != nil {
				n = e.Series.Count
			}
			out = append(out, fmt.Sprintf("%s %s %s %d", e.Regarding.Name, e.Type, e.Reason, n))
		}
		return out, err
	}
}
