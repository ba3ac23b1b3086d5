// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

// hastily evicts what holds for two seconds; everything else is as installed.
func hastily() controllers.Options {
	l := eviction.DefaultLimits()
	l.Hold = 2 * time.Second
	return controllers.Options{Eviction: &l}
}

func evicting(p *v1alpha1.IsolationPolicy) { p.Spec.Runtime.Action = v1alpha1.Evict }

// ownedBy makes one ReplicaSet's pods.
func ownedBy(uid types.UID) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: uid, Controller: ptr.To(true)}}
	}
}

// going tells which of the pods are being deleted, while their agents are alive.
func going(ctx context.Context, agents []*agent, pods ...*corev1.Pod) func(Gomega) []string {
	return func(g Gomega) []string {
		for _, a := range agents {
			a.renewed(ctx, 0)
		}
		out := []string{}
		for _, pod := range pods {
			got := &corev1.Pod{}
			g.Expect(cluster.Get(ctx, client.ObjectKeyFromObject(pod), got)).To(Succeed())
			g.Expect(got.UID).To(Equal(pod.UID))
			if got.DeletionTimestamp != nil {
				out = append(out, pod.Name)
			}
		}
		return out
	}
}

// permit lets the manager do what its role says, and evict if the component is installed.
func permit(ctx context.Context, component bool) {
	GinkgoHelper()
	Expect(server.Install(ctx, "rbac/manager")).To(Succeed())
	if component {
		Expect(server.Install(ctx, "components/eviction")).To(Succeed())
	}
	DeferCleanup(func(ctx context.Context) {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "bulkhead-eviction"}}
		Expect(client.IgnoreNotFound(cluster.Delete(ctx, binding))).To(Succeed())
	})
}

// forget takes the history of evictions away, as a person can.
func forget(ctx context.Context) {
	GinkgoHelper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: v1alpha1.EvictionsLeaseName}}
	Expect(client.IgnoreNotFound(cluster.Delete(ctx, lease))).To(Succeed())
}

func history(ctx context.Context) func(Gomega) []eviction.Record {
	return func(g Gomega) []eviction.Record {
		lease := &coordinationv1.Lease{}
		err := cluster.Get(ctx, client.ObjectKey{Namespace: installed, Name: v1alpha1.EvictionsLeaseName}, lease)
		g.Expect(client.IgnoreNotFound(err)).To(Succeed())
		h, err := eviction.ParseHistory(lease.Annotations[v1alpha1.AnnotationEvictions])
		g.Expect(err).NotTo(HaveOccurred())
		return h.Recent
	}
}

// policyEvents are reasons and notes of events on a policy.
func policyEvents(ctx context.Context, p *v1alpha1.IsolationPolicy) func(Gomega) []string {
	return func(g Gomega) []string {
		var list eventsv1.EventList
		g.Expect(cluster.List(ctx, &list, client.InNamespace("default"))).To(Succeed())
		out := []string{}
		for _, e := range list.Items {
			if e.Regarding.UID == p.UID {
				out = append(out, e.Reason+" "+e.Action+" "+e.Note)
			}
		}
		return out
	}
}

var _ = Describe("Evict", func() {
	BeforeEach(forget)

	It("evicts a pod that has less than its spec promised, tells of it, and lets all others be", func(ctx context.Context) {
		permit(ctx, true)
		namespace, a, liar := aNamespace(ctx), anAgent(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour)
		asks := running(ctx, namespace, "asks", a.node, time.Hour, onHost)
		static := running(ctx, namespace, "static", a.node, time.Hour, func(p *corev1.Pod) {
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		})
		victim := running(ctx, namespace, "victim", a.node, time.Hour)
		lied := running(ctx, namespace, "lied-about", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), web, asks, static), at(isolated, victim, lied))
		a.report(ctx, func(s *v1alpha1.NodeIsolationReportStatus) {
			s.Findings = []v1alpha1.NodeFinding{{
				Kind: v1alpha1.Escape, Pod: v1alpha1.ObservedPod{UID: web.UID}, Axis: "pid", Observed: v1alpha1.LevelHost, FirstSeen: metav1.Now(),
				Message: "process 7 is in the node's pid namespace", Evidence: &v1alpha1.Evidence{PID: 7, StartTime: 1, Owner: namespace + "/victim"},
			}}
		})
		liar.sees(ctx, at(onHostPID(), lied, victim))
		p := aPolicy(ctx, namespace, evicting)
		startWith(server.AsManager(), hastily(), nil)
		all := []*agent{a, liar}

		Eventually(going(ctx, all, web, asks, static, victim, lied)).WithTimeout(soon).Should(ConsistOf("web"))
		Consistently(going(ctx, all, web, asks, static, victim, lied)).WithTimeout(2 * while).Should(ConsistOf("web"))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionEvictionReady, metav1.ConditionTrue, v1alpha1.ReasonArmed))
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ContainElements("web Warning Evicted 1", "asks Warning NotEvicted 1"))
		Eventually(policyEvents(ctx, p)).WithTimeout(soon).Should(ContainElements(
			And(HavePrefix("Evicted Evict/Evicted"), ContainSubstring(namespace+"/web"), ContainSubstring("process 7 is in the node's pid namespace")),
			And(HavePrefix("NotEvicted Evict/AskedFor"), ContainSubstring("1 pods"), ContainSubstring("its spec asks for what was observed"))))
		Expect(history(ctx)(NewWithT(GinkgoT()))).To(ConsistOf(SatisfyAll(HaveField("Pod", web.UID), HaveField("Node", a.node), HaveField("Policy", p.UID))))
	})

	It("waits until the agent says again what it said", func(ctx context.Context) {
		permit(ctx, true)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), web))
		aPolicy(ctx, namespace, evicting)
		startWith(server.AsManager(), hastily(), nil)
		Consistently(going(ctx, nil, web)).WithTimeout(2 * while).Should(BeEmpty())
		Eventually(going(ctx, []*agent{a}, web)).WithTimeout(soon).Should(ConsistOf("web"))
	})

	It("waits for a PodDisruptionBudget, and does not count what it did not do", func(ctx context.Context) {
		permit(ctx, true)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour, func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} })
		// Budgets guard what is ready.
		web.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		Expect(cluster.Status().Update(ctx, web)).To(Succeed())
		budget := create(ctx, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
			Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		})
		// No controller of budgets runs here.
		allow := func(disruptions int32) {
			GinkgoHelper()
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(budget), budget)).To(Succeed())
			budget.Status = policyv1.PodDisruptionBudgetStatus{
				ObservedGeneration: budget.Generation, DisruptionsAllowed: disruptions, CurrentHealthy: 1, DesiredHealthy: 1, ExpectedPods: 1,
			}
			Expect(cluster.Status().Update(ctx, budget)).To(Succeed())
		}
		allow(0)
		a.sees(ctx, at(onHostPID(), web))
		p := aPolicy(ctx, namespace, evicting)
		startWith(server.AsManager(), hastily(), nil)
		Eventually(func(g Gomega) {
			g.Expect(going(ctx, []*agent{a}, web)(g)).To(BeEmpty())
			g.Expect(policyEvents(ctx, p)(g)).To(ContainElement(HavePrefix("NotEvicted Evict/Disrupted")))
		}).WithTimeout(soon).Should(Succeed())
		Consistently(going(ctx, []*agent{a}, web)).WithTimeout(while).Should(BeEmpty())
		Expect(history(ctx)(NewWithT(GinkgoT()))).To(BeEmpty())
		allow(1)
		Eventually(going(ctx, []*agent{a}, web)).WithTimeout(soon).Should(ConsistOf("web"))
	})

	It("says that it is not permitted, and begins when it is", func(ctx context.Context) {
		permit(ctx, false)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), web))
		p := aPolicy(ctx, namespace, evicting)
		startWith(server.AsManager(), hastily(), nil)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			condition(v1alpha1.ConditionEvictionReady, metav1.ConditionFalse, v1alpha1.ReasonNotPermitted),
			HaveField("Conditions", ContainElement(HaveField("Message", ContainSubstring("install config/components/eviction"))))))
		Eventually(func(g Gomega) {
			g.Expect(going(ctx, []*agent{a}, web)(g)).To(BeEmpty())
			g.Expect(eventsOn(ctx, namespace)()).To(ContainElement("web Warning NotEvicted 1"))
		}).WithTimeout(soon).Should(Succeed())
		permit(ctx, true)
		Eventually(going(ctx, []*agent{a}, web)).WithTimeout(soon).Should(ConsistOf("web"))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionEvictionReady, metav1.ConditionTrue, v1alpha1.ReasonArmed))
		Expect(eventsOn(ctx, namespace)()).To(ContainElement("web Warning NotEvicted 1"), "what cannot be done is told once")
	})

	It("remembers across a restart from whom it evicted", func(ctx context.Context) {
		permit(ctx, true)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour, ownedBy("uid-rs"))
		a.sees(ctx, at(onHostPID(), web))
		p := aPolicy(ctx, namespace, evicting)
		stop := startWith(server.AsManager(), hastily(), nil)
		Eventually(going(ctx, []*agent{a}, web)).WithTimeout(soon).Should(ConsistOf("web"))
		stop()
		again := running(ctx, namespace, "again", a.node, 0, ownedBy("uid-rs"))
		other := running(ctx, namespace, "other", a.node, 0, ownedBy("uid-other"))
		a.sees(ctx, at(onHostPID(), web, again, other))
		startWith(server.AsManager(), hastily(), nil)
		Eventually(going(ctx, []*agent{a}, again, other)).WithTimeout(soon).Should(ConsistOf("other"))
		Consistently(going(ctx, []*agent{a}, again, other)).WithTimeout(2 * while).Should(ConsistOf("other"))
		Eventually(policyEvents(ctx, p)).WithTimeout(soon).Should(ContainElement(And(HavePrefix("NotEvicted Evict/BackedOff"), ContainSubstring("1 pods of its owner were evicted"))))
	})

	It("does nothing while what it did before cannot be read", func(ctx context.Context) {
		permit(ctx, true)
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Namespace: installed, Name: v1alpha1.EvictionsLeaseName, Annotations: map[string]string{v1alpha1.AnnotationEvictions: "nothing, believe me"},
		}}
		create(ctx, lease)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), web))
		p := aPolicy(ctx, namespace, evicting)
		startWith(server.AsManager(), hastily(), nil)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionEvictionReady, metav1.ConditionFalse, v1alpha1.ReasonNoHistory))
		Consistently(going(ctx, []*agent{a}, web)).WithTimeout(2 * while).Should(BeEmpty())
		forget(ctx)
		Eventually(going(ctx, []*agent{a}, web)).WithTimeout(soon).Should(ConsistOf("web"))
	})

	It("does not touch a pod that took another's name at the last moment", func(ctx context.Context) {
		permit(ctx, true)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		web := running(ctx, namespace, "web", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), web))
		aPolicy(ctx, namespace, evicting)
		successor := make(chan *corev1.Pod, 1)
		startWith(server.AsManager(), hastily(), func(config *rest.Config, o client.Options) (client.Client, error) {
			c, err := client.NewWithWatch(config, o)
			if err != nil {
				return nil, err
			}
			return interceptor.NewClient(c, interceptor.Funcs{
				SubResourceCreate: func(ctx context.Context, c client.Client, sub string, pod, e client.Object, opts ...client.SubResourceCreateOption) error {
					if asked, ok := e.(*policyv1.Eviction); ok && len(asked.DeleteOptions.DryRun) == 0 && len(successor) == 0 {
						defer GinkgoRecover()
						Expect(cluster.Delete(ctx, web, client.GracePeriodSeconds(0))).To(Succeed())
						successor <- running(ctx, namespace, "web", a.node, 0)
					}
					return c.SubResource(sub).Create(ctx, pod, e, opts...)
				},
			}), nil
		})
		var next *corev1.Pod
		Eventually(func() chan *corev1.Pod { a.renewed(ctx, 0); return successor }).WithTimeout(soon).Should(HaveLen(1))
		next = <-successor
		successor <- next
		Consistently(going(ctx, []*agent{a}, next)).WithTimeout(2 * while).Should(BeEmpty())
	})

	It("stops when too many would go, and says so", func(ctx context.Context) {
		permit(ctx, true)
		namespace, a := aNamespace(ctx), anAgent(ctx)
		var pods []*corev1.Pod
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			pods = append(pods, running(ctx, namespace, name, a.node, time.Hour))
		}
		a.sees(ctx, at(onHostPID(), pods...))
		p := aPolicy(ctx, namespace, evicting)
		startWith(server.AsManager(), hastily(), nil)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionEvictionReady, metav1.ConditionFalse, v1alpha1.ReasonCircuitOpen))
		Consistently(going(ctx, []*agent{a}, pods...)).WithTimeout(2 * while).Should(BeEmpty())
		Eventually(policyEvents(ctx, p)).WithTimeout(soon).Should(ContainElement(And(HavePrefix("NotEvicted Evict/CircuitOpen"), ContainSubstring("6 pods"))))
		By("being switched off")
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		p.Spec.Runtime.Action = v1alpha1.Report
		Expect(cluster.Update(ctx, p)).To(Succeed())
		Eventually(statusOf(ctx, p)).WithTimeout(soon).ShouldNot(HaveField("Conditions", ContainElement(HaveField("Type", v1alpha1.ConditionEvictionReady))))
	})
})
