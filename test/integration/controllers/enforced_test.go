// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Enforced", func() {
	It("is told by what every ready replica says and by what the API server has been told", func(ctx context.Context) {
		p := aPolicy(ctx, aNamespace(ctx))
		start()
		is := func(status metav1.ConditionStatus, reason string) {
			GinkgoHelper()
			Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionEnforced, status, reason))
		}
		is(metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes)
		endpoints(ctx, "one", "two")
		is(metav1.ConditionUnknown, v1alpha1.ReasonNobodyServes)
		serves(ctx, "one", p, p.Generation)
		is(metav1.ConditionFalse, v1alpha1.ReasonNotServed)
		serves(ctx, "two", p, p.Generation)
		is(metav1.ConditionFalse, v1alpha1.ReasonNotConfigured)

		edit(ctx, p, func() { p.Spec.Isolation.IPC = "Pod" })
		serves(ctx, "one", p, p.Generation)
		is(metav1.ConditionFalse, v1alpha1.ReasonNotServed)
		certify(ctx, authority())
		serves(ctx, "two", p, p.Generation-1)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(HaveField("Conditions", ContainElement(SatisfyAll(
			HaveField("Type", v1alpha1.ConditionEnforced), HaveField("Message", ContainSubstring("two serves generation 1"))))))
		serves(ctx, "one", p, p.Generation)
		serves(ctx, "two", p, p.Generation)
		is(metav1.ConditionTrue, v1alpha1.ReasonServed)

		endpoints(ctx, "one", "two", "three")
		is(metav1.ConditionFalse, v1alpha1.ReasonNotServed)
		endpoints(ctx, "one")
		serves(ctx, "one", p, p.Generation)
		is(metav1.ConditionTrue, v1alpha1.ReasonServed)
	})

	It("notices that a replica fell silent although nothing else happens", func(ctx context.Context) {
		p := aPolicy(ctx, aNamespace(ctx))
		certify(ctx, authority())
		start()
		endpoints(ctx, "one", "two")
		serves(ctx, "one", p, p.Generation)
		served(ctx, "two", p, p.Generation, 20*time.Second)
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(condition(v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonServed))
		Eventually(statusOf(ctx, p)).WithTimeout(10*time.Second + soon).Should(HaveField("Conditions", ContainElement(SatisfyAll(
			HaveField("Type", v1alpha1.ConditionEnforced), HaveField("Message", ContainSubstring("two has been silent since"))))))
	})
})
