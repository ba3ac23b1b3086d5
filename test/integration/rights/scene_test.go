// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"context"
	"fmt"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var (
	openReports   = schema.GroupVersionKind{Group: "openreports.io", Version: "v1alpha1", Kind: "Report"}
	policyReports = schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReport"}
)

// scene is a node on which two pods run, each in a namespace of its own and with a process that escaped.
type scene struct {
	node *corev1.Node
	tree *proctest.Tree
	pods []*corev1.Pod
}

func newScene(ctx context.Context) *scene {
	GinkgoHelper()
	s := &scene{node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}, tree: proctest.New(GinkgoTB())}
	Expect(server.Client.Create(ctx, s.node)).To(Succeed())
	for i, digit := range []string{"a", "b"} {
		number, first := uint64(i+1), 100*(i+1)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-", Labels: map[string]string{"tenancy": "shared"}}}
		Expect(server.Client.Create(ctx, namespace)).To(Succeed())
		pod := s.pod(ctx, namespace.Name, "web", "default")
		started := metav1.NewTime(time.Now().Add(-time.Hour))
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "app", Image: "app", ContainerID: "containerd://" + proctest.ID(digit),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}},
		}}}
		Expect(server.Client.Status().Update(ctx, pod)).To(Succeed())
		s.pods = append(s.pods, pod)
		in := func(container string) string {
			return "0::/kubepods/besteffort/pod" + string(pod.UID) + "/" + container
		}
		own := proctest.Pod(number, 1)
		s.tree.Add(
			proctest.Process{PID: first, PPID: 1, Comm: "pause", Cgroup: in(proctest.ID(fmt.Sprint(number))), NS: proctest.Pod(number, 0)},
			proctest.Process{PID: first + 10, PPID: 1, Comm: "app", Cgroup: in(proctest.ID(digit)), NS: own},
			proctest.Process{
				PID: first + 15, PPID: first + 10, Comm: "out", Cgroup: in(proctest.ID(digit)),
				NS: own.With(proctest.Mnt, proctest.Node[proctest.Mnt]),
			},
		)
	}
	return s
}

// pod is a pod on the node that the API server knows, whatever runs of it.
func (s *scene) pod(ctx context.Context, namespace, name, account string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			NodeName: s.node.Name, ServiceAccountName: account, Containers: []corev1.Container{{Name: "app", Image: "app"}},
		},
	}
	Expect(server.Client.Create(ctx, pod)).To(Succeed())
	return pod
}

func (s *scene) runAgent(ctx context.Context) {
	GinkgoHelper()
	pod := s.pod(ctx, v1alpha1.InstallNamespace, "bulkhead-agent-0", "bulkhead-agent")
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- agent.Run(running, agent.Options{
			NodeName: s.node.Name, PodName: pod.Name, Proc: s.tree.Root, RestConfig: as(ctx, "bulkhead-agent", pod), Log: GinkgoLogr,
		})
	}()
	DeferCleanup(func() {
		cancel()
		Eventually(ended).Should(Receive(BeNil()))
	})
}

// runManager runs it in a pod of its own.
func (s *scene) runManager(ctx context.Context) {
	GinkgoHelper()
	pod := s.pod(ctx, v1alpha1.InstallNamespace, apiserver.ManagerPod, "bulkhead-manager")
	server.RunManager(ctx, GinkgoTB(), as(ctx, "bulkhead-manager", pod))
}

// evicting makes a policy for the pods' namespaces.
func evicting(ctx context.Context, name string, engine v1alpha1.AdmissionEngine) *v1alpha1.IsolationPolicy {
	GinkgoHelper()
	p := &v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.IsolationPolicySpec{
			Match:     &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}},
			Isolation: &v1alpha1.Isolation{Mount: "Container"},
			Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny, Engine: engine},
			Runtime:   v1alpha1.RuntimeSpec{Action: v1alpha1.Evict},
		},
	}
	// The webhook that checks policies may be asked a moment before it is reached.
	Eventually(func() error { return server.Client.Create(ctx, p) }).Should(Succeed())
	return p
}

func enforcement(ctx context.Context, p *v1alpha1.IsolationPolicy) func(Gomega) metav1.ConditionStatus {
	return func(g Gomega) metav1.ConditionStatus {
		g.Expect(server.Client.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionEnforced)
		g.Expect(c).NotTo(BeNil())
		return c.Status
	}
}

// hideGenerated takes the label off what policies were compiled to, and waits until the manager has found it.
func hideGenerated(ctx context.Context) {
	GinkgoHelper()
	ours := client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
	for _, list := range []client.ObjectList{
		&admissionregistrationv1.ValidatingAdmissionPolicyList{}, &admissionregistrationv1.ValidatingAdmissionPolicyBindingList{},
	} {
		var o client.Object
		Eventually(func(g Gomega) {
			g.Expect(server.Client.List(ctx, list, ours)).To(Succeed())
			objects, err := meta.ExtractList(list)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(objects).To(HaveLen(1))
			o, _ = objects[0].(client.Object)
		}).Should(Succeed())
		bare := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":null}}`))
		Expect(server.Client.Patch(ctx, o, bare)).To(Succeed())
		Eventually(func(g Gomega) map[string]string {
			g.Expect(server.Client.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
			return o.GetLabels()
		}).Should(HaveKeyWithValue(v1alpha1.ManagedByLabel, v1alpha1.ManagedBy))
	}
}

// flipEndpoint makes the manager not ready and ready again, twice: what is told of that is told again.
func flipEndpoint(ctx context.Context, p *v1alpha1.IsolationPolicy) {
	GinkgoHelper()
	slices := &discoveryv1.EndpointSliceList{}
	Expect(server.Client.List(ctx, slices, client.MatchingLabels{discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName})).To(Succeed())
	Expect(slices.Items).To(HaveLen(1))
	slice := &slices.Items[0]
	for range 2 {
		for _, ready := range []bool{false, true} {
			slice.Endpoints[0].Conditions.Ready = ptr.To(ready)
			Expect(server.Client.Update(ctx, slice)).To(Succeed())
			Eventually(func(g Gomega) bool { return enforcement(ctx, p)(g) == metav1.ConditionTrue }).Should(Equal(ready))
		}
	}
}

// evicted waits until the pods go: a breach must have held for a minute, and the agent have renewed its Lease since.
func (s *scene) evicted(ctx context.Context) {
	GinkgoHelper()
	for _, pod := range s.pods {
		Eventually(func(g Gomega) *metav1.Time {
			g.Expect(server.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
			return pod.DeletionTimestamp
		}).WithTimeout(3*time.Minute).ShouldNot(BeNil(), "%s/%s is not evicted", pod.Namespace, pod.Name)
	}
}

// installReports installs a kind of reports for viewers.
func installReports(ctx context.Context, file string) {
	GinkgoHelper()
	manifest, err := os.ReadFile("../controllers/crds/" + file)
	Expect(err).NotTo(HaveOccurred())
	Expect(server.Apply(ctx, manifest)).To(Succeed())
}

// reports are in how many of the pods' namespaces there are reports of a kind.
func (s *scene) reports(ctx context.Context, kind schema.GroupVersionKind) func(Gomega) int {
	return func(g Gomega) int {
		found := 0
		for _, pod := range s.pods {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind)
			g.Expect(server.Client.List(ctx, list, client.InNamespace(pod.Namespace))).To(Succeed())
			found += len(list.Items)
		}
		return found
	}
}
