// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Pods that no agent can see", func() {
	It("are told apart from those that none has seen, and do not pass", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		p := aPolicy(ctx, namespace)
		node := create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("win-%d", time.Now().UnixNano())}})
		running(ctx, namespace, "iis", node.Name, time.Hour)
		start()
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1}), condition("Verified", metav1.ConditionFalse, v1alpha1.ReasonUnverified)))

		node.Labels = map[string]string{corev1.LabelOSStable: "windows"}
		Expect(cluster.Update(ctx, node)).To(Succeed())
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Unverified: 1, NotApplicable: 1}), condition("Verified", metav1.ConditionFalse, v1alpha1.ReasonNotApplicable)))

		lost := running(ctx, namespace, "lost", a.node, time.Hour)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 2, Unverified: 2, NotApplicable: 1}), condition("Verified", metav1.ConditionFalse, v1alpha1.ReasonUnverified)))
		a.sees(ctx, at(isolated, lost))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition("Verified", metav1.ConditionFalse, v1alpha1.ReasonNotApplicable))
	})
})
