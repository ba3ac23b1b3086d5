// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("The status of a policy", func() {
	var namespace string
	BeforeEach(func(ctx context.Context) {
		namespace = aNamespace(ctx)
		start()
	})

	It("counts every pod in one class", func(ctx context.Context) {
		one, gone := anAgent(ctx), "no-such-node"
		p := aPolicy(ctx, namespace, func(p *v1alpha1.IsolationPolicy) {
			p.Spec.Exemptions = []v1alpha1.Exemption{{
				Name: "robot", Reason: "looks", Namespaces: []string{namespace}, ServiceAccounts: []string{"robot"},
				Isolation: &v1alpha1.Isolation{PID: "Host"},
			}}
		})
		robot := func(pod *corev1.Pod) { pod.Spec.ServiceAccountName = "robot" }
		compliant := running(ctx, namespace, "compliant", one.node, time.Hour)
		breached := running(ctx, namespace, "breached", one.node, time.Hour)
		violating := running(ctx, namespace, "violating", one.node, time.Hour, onHost)
		exempt := running(ctx, namespace, "exempt", one.node, time.Hour, onHost, robot)
		running(ctx, namespace, "unseen", gone, time.Hour)
		done := running(ctx, namespace, "done", one.node, time.Hour)
		done.Status.Phase = corev1.PodSucceeded
		Expect(cluster.Status().Update(ctx, done)).To(Succeed())
		one.sees(ctx, at(isolated, compliant, violating), at(onHostPID(), breached, exempt))

		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 5, Exempt: 1, Breached: 1, Violating: 1, Unverified: 1, Compliant: 1}),
			HaveField("Nodes", v1alpha1.NodeCounts{Reporting: 1, Stale: 1}),
			HaveField("FindingsTotal", BeEquivalentTo(3)),
			HaveField("ObservedGeneration", p.Generation),
			condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted),
			condition(v1alpha1.ConditionEnforced, metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes),
			condition(v1alpha1.ConditionVerified, metav1.ConditionFalse, v1alpha1.ReasonBreached),
		))
	})

	It("follows a pod from unverified over compliant and breached back to compliant", func(ctx context.Context) {
		a, p := anAgent(ctx), aPolicy(ctx, namespace)
		pod := running(ctx, namespace, "web", a.node, time.Hour)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}),
			condition(v1alpha1.ConditionVerified, metav1.ConditionFalse, v1alpha1.ReasonUnverified)))
		a.sees(ctx, at(isolated, pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}),
			HaveField("Findings", BeEmpty()),
			condition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonObserved)))
		a.sees(ctx, at(onHostPID(), pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Breached: 1}),
			HaveField("Findings", ConsistOf(SatisfyAll(
				HaveField("Kind", v1alpha1.Breach), HaveField("Namespace", namespace), HaveField("Pod", "web"), HaveField("UID", pod.UID),
				HaveField("Node", a.node), HaveField("Axis", v1alpha1.Axis("pid"))))),
			condition(v1alpha1.ConditionVerified, metav1.ConditionFalse, v1alpha1.ReasonBreached)))
		a.sees(ctx, at(isolated, pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}),
			condition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonObserved)))
		Expect(cluster.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{}),
			condition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonNoPods)))
	})

	It("notices that an agent fell silent although nothing else happens", func(ctx context.Context) {
		a, p := anAgent(ctx), aPolicy(ctx, namespace)
		pod := running(ctx, namespace, "web", a.node, time.Hour)
		a.renewed(ctx, (v1alpha1.AgentLeaseSeconds-12)*time.Second)
		a.sees(ctx, at(isolated, pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}))
		Eventually(statusOf(ctx, p)).WithTimeout(12*time.Second + soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}),
			HaveField("Nodes", v1alpha1.NodeCounts{Stale: 1}),
			HaveField("Findings", ConsistOf(HaveField("Message", ContainSubstring("its agent has been silent since"))))))
		a.renewed(ctx, 0)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}))
	})

	It("does not believe a node about pods that are elsewhere", func(ctx context.Context) {
		here, liar, p := anAgent(ctx), anAgent(ctx), aPolicy(ctx, namespace)
		pod := running(ctx, namespace, "web", here.node, time.Hour)
		liar.sees(ctx, at(isolated, pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}),
			HaveField("Findings", ConsistOf(HaveField("Message", ContainSubstring("has not seen it"))))))
		Consistently(statusOf(ctx, p)).WithTimeout(while).Should(counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}))
		liar.sees(ctx, at(onHostPID(), pod))
		here.sees(ctx, at(isolated, pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}))
	})

	It("takes nothing from a degraded agent", func(ctx context.Context) {
		a, p := anAgent(ctx), aPolicy(ctx, namespace)
		pod := running(ctx, namespace, "web", a.node, time.Hour)
		a.sees(ctx, at(isolated, pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}))
		a.report(ctx, func(s *v1alpha1.NodeIsolationReportStatus) {
			setCondition(s, v1alpha1.ConditionDegraded, metav1.ConditionTrue, "NoPtrace")
		})
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}),
			HaveField("Nodes", v1alpha1.NodeCounts{Stale: 1}),
			HaveField("Findings", ConsistOf(HaveField("Message", ContainSubstring("is degraded: NoPtrace"))))))
	})

	It("judges anew by a policy that was edited, without another look", func(ctx context.Context) {
		a, p := anAgent(ctx), aPolicy(ctx, namespace)
		pod := running(ctx, namespace, "web", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), pod))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 1, Breached: 1}))
		edit(ctx, p, func() { p.Spec.Isolation.PID = "Host" })
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Compliant: 1}), HaveField("ObservedGeneration", BeEquivalentTo(2))))
		edit(ctx, p, func() { p.Spec.Match.NamespaceSelector.MatchLabels["tenancy"] = "other" })
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{}))
	})

	It("follows the labels of a namespace", func(ctx context.Context) {
		p := aPolicy(ctx, namespace)
		running(ctx, namespace, "web", "no-such-node", time.Hour)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}))
		ns := &corev1.Namespace{}
		Expect(cluster.Get(ctx, client.ObjectKey{Name: namespace}, ns)).To(Succeed())
		ns.Labels["tenancy"] = "moved"
		Expect(cluster.Update(ctx, ns)).To(Succeed())
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{}))
	})

	It("waits with Verified until a young pod was seen or is no longer young", func(ctx context.Context) {
		a, p := anAgent(ctx), aPolicy(ctx, namespace)
		first := running(ctx, namespace, "first", a.node, 0)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionVerified, metav1.ConditionUnknown, v1alpha1.ReasonLooking))
		a.sees(ctx, at(isolated, first))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonObserved))

		old := running(ctx, namespace, "old", a.node, time.Hour)
		a.sees(ctx, at(isolated, first, old))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 2, Compliant: 2}))
		running(ctx, namespace, "ageing", a.node, 50*time.Second)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 3, Compliant: 2, Unverified: 1}))
		Expect(statusOf(ctx, p)()).To(condition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonObserved), "it is young")
		Eventually(statusOf(ctx, p)).WithTimeout(10*time.Second+soon).Should(
			condition(v1alpha1.ConditionVerified, metav1.ConditionFalse, v1alpha1.ReasonUnverified), "it completed its minute")
	})

	It("lists no more findings than fit, and their true total", func(ctx context.Context) {
		p := aPolicy(ctx, namespace)
		for i := range 60 {
			running(ctx, namespace, fmt.Sprintf("pod-%02d", i), "no-such-node", time.Hour)
		}
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 60, Unverified: 60}),
			HaveField("Findings", HaveLen(v1alpha1.MaxPolicyFindings)),
			HaveField("FindingsTotal", BeEquivalentTo(60))))
	})

	It("is written on change only, and a burst of changes at most once a second", func(ctx context.Context) {
		a, p := anAgent(ctx), aPolicy(ctx, namespace)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonNoPods))
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		began := time.Now()
		writes, err := cluster.Watch(ctx, &v1alpha1.IsolationPolicyList{}, client.MatchingFields{"metadata.name": p.Name},
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: p.ResourceVersion}})
		Expect(err).NotTo(HaveOccurred())
		written := counted(writes)
		for i := range 40 {
			running(ctx, namespace, fmt.Sprintf("pod-%02d", i), a.node, time.Hour)
		}
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 40, Unverified: 40}),
			HaveField("Conditions", ContainElement(HaveField("Message", HavePrefix("40 of 40 pods were not observed"))))))
		Eventually(written.Load).WithTimeout(soon).Should(BeNumerically(">=", 1))
		n, took := written.Load(), time.Since(began)
		Expect(n).To(BeNumerically("<=", 1+int64(took/time.Second)), "in %s", took)

		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		Consistently(func(g Gomega) {
			a.renewed(ctx, 0)
			a.report(ctx, func(s *v1alpha1.NodeIsolationReportStatus) { s.ChangedAt = &metav1.Time{Time: time.Now()} })
			got := &v1alpha1.IsolationPolicy{}
			g.Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), got)).To(Succeed())
			g.Expect(got.ResourceVersion).To(Equal(p.ResourceVersion))
		}).WithTimeout(2 * while).WithPolling(300 * time.Millisecond).Should(Succeed())
	})
})

// counted counts what a watch tells until the spec ends.
func counted(w watch.Interface) *atomic.Int64 {
	n := &atomic.Int64{}
	go func() {
		for range w.ResultChan() {
			n.Add(1)
		}
	}()
	DeferCleanup(w.Stop)
	return n
}

// edit changes the spec of a policy.
func edit(ctx context.Context, p *v1alpha1.IsolationPolicy, change func()) {
	GinkgoHelper()
	Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
	change()
	Expect(cluster.Update(ctx, p)).To(Succeed())
}
