// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Events", func() {
	It("tell on the pod when a finding begins and when it ends, once, also across a restart", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		p := aPolicy(ctx, namespace)
		pod := running(ctx, namespace, "web", a.node, time.Hour)
		running(ctx, namespace, "young", a.node, 0)
		stop := start()
		a.sees(ctx, at(onHostPID(), pod))
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ConsistOf("web Warning Breach 1"))

		var list eventsv1.EventList
		Expect(cluster.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		Expect(list.Items[0]).To(SatisfyAll(
			HaveField("Regarding.UID", pod.UID), HaveField("Regarding.Kind", "Pod"),
			HaveField("Related.Name", p.Name),
			HaveField("Note", SatisfyAll(ContainSubstring(p.Name), ContainSubstring("pid was observed as Host"))),
			HaveField("ReportingController", "bulkhead.dev/controller")))

		stop()
		restarted := start()
		a.report(ctx, func(s *v1alpha1.NodeIsolationReportStatus) { s.Nested = true })
		running(ctx, namespace, "more", a.node, 0)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 3, Breached: 1, Unverified: 2}))
		Consistently(eventsOn(ctx, namespace)).WithTimeout(while).Should(ConsistOf("web Warning Breach 1"))

		a.sees(ctx, at(isolated, pod))
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ConsistOf("web Warning Breach 1", "web Normal IsolationRestored 1"))
		Consistently(eventsOn(ctx, namespace)).WithTimeout(while).Should(HaveLen(2))
		restarted()
	})

	It("tell of a pod whose spec violates a policy that came later", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		pod := running(ctx, namespace, "web", a.node, time.Hour, onHost)
		a.sees(ctx, at(isolated, pod))
		start()
		aPolicy(ctx, namespace)
		Eventually(eventsOn(ctx, namespace)).WithTimeout(soon).Should(ConsistOf("web Warning Violation 1"))
	})
})
