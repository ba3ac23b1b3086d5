// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("A policy that goes from one engine to the other", func() {
	It("refuses what violates it at every moment, there and back", func(ctx context.Context) {
		manager := start(ctx, "one")
		namespace, free := aNamespace(ctx), aNamespace(ctx)
		p := create(ctx, aPolicy(webhook, namespace))
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonServed, Not(ContainSubstring("settled"))))
		prober := probe(ctx, namespace)
		Expect(try(ctx, free, true)).To(Succeed(), "it is the policy that refuses")

		By("going to the API server")
		edit(ctx, p, func() { p.Spec.Admission.Engine = compiler })
		Eventually(stands(ctx, p)).Should(Equal("both"))
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionUnknown, v1alpha1.ReasonCompiled, ContainSubstring("asks the webhook as well")))
		Consistently(entries(ctx)).WithTimeout(2*settle).Should(asked, "nobody has checked its types yet")
		checked(ctx, p)
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonCompiled, ContainSubstring("asks the webhook as well")))
		Eventually(entries(ctx)).Should(notAsked)
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonCompiled, Not(ContainSubstring("webhook"))))
		prober.on()

		By("holding while no manager is there")
		manager.stop()
		endpoints(ctx)
		prober.on()
		Expect(try(ctx, namespace, false)).To(Succeed(), "no webhook is in the way")

		By("coming back")
		manager = start(ctx, "two")
		Consistently(entries(ctx)).WithTimeout(settle).Should(notAsked, "a new manager leaves alone what has settled")
		endpoints(ctx)
		edit(ctx, p, func() { p.Spec.Admission.Engine = webhook })
		Eventually(entries(ctx)).Should(asked)
		Consistently(stands(ctx, p)).WithTimeout(2*settle).Should(Equal("both"), "no replica serves it")
		endpoints(ctx, "two")
		Eventually(stands(ctx, p)).Should(Equal("nothing"))
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonServed, Not(ContainSubstring("settled"))))
		prober.on()
		prober.neverAdmitted()
		manager.stop()
	})

	It("is kept by both engines across a change of mind, a restart and other selectors", func(ctx context.Context) {
		manager := start(ctx, "one")
		namespace := aNamespace(ctx)
		p := create(ctx, aPolicy(webhook, namespace))
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonServed, Not(BeEmpty())))
		prober := probe(ctx, namespace)

		edit(ctx, p, func() {
			p.Spec.Admission.Engine = compiler
			p.Spec.Match = nil
		})
		checked(ctx, p)
		manager.stop()
		manager = start(ctx, "two")
		edit(ctx, p, func() { p.Spec.Admission.Engine = webhook })
		edit(ctx, p, func() { p.Spec.Admission.Engine = compiler })
		checked(ctx, p)
		Eventually(entries(ctx)).Should(notAsked)
		Expect(stands(ctx, p)()).To(Equal("both"))
		edit(ctx, p, func() { p.Spec.Admission.Engine, p.Spec.Match = webhook, aPolicy(webhook, namespace).Spec.Match })
		Eventually(stands(ctx, p)).Should(Equal("nothing"))
		prober.on()
		prober.neverAdmitted()
		manager.stop()
	})

	It("goes to the webhook while it says what CEL cannot, and is not accepted", func(ctx context.Context) {
		manager := start(ctx, "one")
		namespace := aNamespace(ctx)
		p := create(ctx, aPolicy(compiler, namespace))
		checked(ctx, p)
		Eventually(entries(ctx)).Should(notAsked)
		prober := probe(ctx, namespace)

		// The webhook about policies would refuse it; what is stored may be older than that.
		manager.stop()
		Expect(cluster.Delete(ctx, &configuration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName}})).To(Succeed())
		edit(ctx, p, func() { p.Spec.Portals, p.Spec.Exemptions = tooMuch() })
		start(ctx, "two")
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, ContainSubstring("use the engine Webhook; instead, the webhook: ")))
		var got v1alpha1.IsolationPolicy
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), &got)).To(Succeed())
		Expect(got.Status.Conditions).To(ContainElement(SatisfyAll(HaveField("Type", v1alpha1.ConditionAccepted),
			is(metav1.ConditionFalse, v1alpha1.ReasonNotCompiled, HaveSuffix("until it can, the webhook enforces it")))))
		Eventually(entries(ctx)).Should(asked)
		Eventually(stands(ctx, p)).Should(Equal("nothing"))
		prober.on()

		edit(ctx, p, func() { p.Spec.Portals, p.Spec.Exemptions = nil, nil })
		checked(ctx, p)
		Eventually(entries(ctx)).Should(notAsked)
		prober.on()
		prober.neverAdmitted()
	})

	It("stays with the webhook while the API server warns of its types", func(ctx context.Context) {
		start(ctx, "one")
		namespace := aNamespace(ctx)
		p := create(ctx, aPolicy(compiler, namespace))
		Eventually(entries(ctx)).Should(asked)
		checked(ctx, p, admissionregistrationv1.ExpressionWarning{FieldRef: "spec.validations[0].expression", Warning: "undefined field\n'hostPID'"})
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionFalse, v1alpha1.ReasonTypeWarnings,
			ContainSubstring(`spec.validations[0].expression: undefined field\n'hostPID'`)))
		Consistently(entries(ctx)).WithTimeout(2 * settle).Should(asked)
		checked(ctx, p)
		Eventually(entries(ctx)).Should(notAsked)
	})
})

// tooMuch is more than the API server would pay for to judge.
func tooMuch() (*v1alpha1.Portals, []v1alpha1.Exemption) {
	var all []v1alpha1.Exemption
	for i := range 32 {
		open := &v1alpha1.HostPathsPortal{}
		for j := range 64 {
			open.Allow = append(open.Allow, v1alpha1.AllowedHostPath{PathPrefix: fmt.Sprintf("/%s/%d/%d", strings.Repeat("n", 50), i, j)})
		}
		all = append(all, v1alpha1.Exemption{
			Name: fmt.Sprintf("e-%d", i), Reason: "r", Namespaces: []string{"lab"}, Portals: &v1alpha1.ExemptPortals{HostPaths: open},
		})
	}
	return &v1alpha1.Portals{HostPaths: &v1alpha1.HostPathsPortal{}}, all
}

var _ = Describe("A policy that the API server evaluates itself", func() {
	It("is repaired when somebody edits, unlabels or deletes what it was compiled to", func(ctx context.Context) {
		start(ctx, "one")
		namespace := aNamespace(ctx)
		p := create(ctx, aPolicy(compiler, namespace))
		checked(ctx, p)
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonCompiled, Not(BeEmpty())))
		c, b := madeOf(ctx, p)
		for name, vandal := range map[string]func(*compiled, *binding) error{
			"the expressions": func(c *compiled, _ *binding) error {
				c.Spec.Validations = []admissionregistrationv1.Validation{{Expression: "true"}}
				return cluster.Update(ctx, c)
			},
			"the conditions": func(c *compiled, _ *binding) error {
				c.Spec.MatchConditions = append(c.Spec.MatchConditions, admissionregistrationv1.MatchCondition{Name: "never", Expression: "false"})
				return cluster.Update(ctx, c)
			},
			"the owner": func(c *compiled, _ *binding) error {
				c.OwnerReferences[0].UID = "another"
				return cluster.Update(ctx, c)
			},
			"the label": func(c *compiled, _ *binding) error {
				c.Labels = map[string]string{"theirs": "stays"}
				c.Spec.Validations = []admissionregistrationv1.Validation{{Expression: "true"}}
				return cluster.Update(ctx, c)
			},
			"the binding's action": func(_ *compiled, b *binding) error {
				b.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit}
				return cluster.Update(ctx, b)
			},
			"the policy itself":  func(c *compiled, _ *binding) error { return cluster.Delete(ctx, c) },
			"the binding itself": func(_ *compiled, b *binding) error { return cluster.Delete(ctx, b) },
		} {
			By(name)
			Expect(vandal(madeOf(ctx, p))).To(Succeed())
			Eventually(func(g Gomega) {
				nowC, nowB := madeOf(ctx, p)
				g.Expect(nowC).NotTo(BeNil())
				g.Expect(nowB).NotTo(BeNil())
				g.Expect(nowC.Spec).To(Equal(c.Spec))
				g.Expect(nowC.OwnerReferences).To(Equal(c.OwnerReferences))
				g.Expect(nowC.Labels).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "bulkhead-manager"))
				g.Expect(nowB.Spec).To(Equal(b.Spec))
			}).Should(Succeed())
			Eventually(func() error { return try(ctx, namespace, true) }).ShouldNot(Succeed())
		}
		c, _ = madeOf(ctx, p)
		Expect(c.Labels).To(HaveKey("app.kubernetes.io/managed-by"))
		settled, _ := madeOf(ctx, p)
		checked(ctx, p)
		Consistently(func() int64 { c, _ := madeOf(ctx, p); return c.Generation }).WithTimeout(settle).Should(Equal(settled.Generation),
			"what the API server fills in is no difference")
	})

	It("is changed in place when it is edited, with no webhook in between", func(ctx context.Context) {
		start(ctx, "one")
		namespace := aNamespace(ctx)
		p := create(ctx, aPolicy(compiler, namespace))
		checked(ctx, p)
		Eventually(entries(ctx)).Should(notAsked)
		before, _ := madeOf(ctx, p)
		prober := probe(ctx, namespace)
		edit(ctx, p, func() { p.Spec.Isolation.IPC = "Pod" })
		Eventually(func() int64 { c, _ := madeOf(ctx, p); return c.Generation }).Should(BeNumerically(">", before.Generation))
		after, _ := madeOf(ctx, p)
		Expect(after.UID).To(Equal(before.UID))
		Consistently(entries(ctx)).WithTimeout(settle).Should(notAsked)
		checked(ctx, p)
		Eventually(enforced(ctx, p)).Should(is(metav1.ConditionTrue, v1alpha1.ReasonCompiled, Not(BeEmpty())))
		prober.neverAdmitted()
	})

	It("leaves nothing behind when it is gone, and begins anew under the same name", func(ctx context.Context) {
		start(ctx, "one")
		namespace := aNamespace(ctx)
		p := aPolicy(compiler, namespace)
		p.GenerateName, p.Name = "", "tenants"
		again := p.DeepCopy()
		create(ctx, p)
		checked(ctx, p)
		Eventually(entries(ctx)).Should(notAsked)
		theirs, _ := madeOf(ctx, p)
		theirs = create(ctx, &compiled{ObjectMeta: metav1.ObjectMeta{Name: "bulkhead-tenants", Labels: theirs.Labels}, Spec: theirs.Spec})

		Expect(cluster.Delete(ctx, p)).To(Succeed())
		create(ctx, again)
		Eventually(stands(ctx, p)).Should(Equal("nothing"))
		Eventually(stands(ctx, again)).Should(Equal("both"))
		Eventually(func() error { return try(ctx, namespace, true) }).ShouldNot(Succeed())
		Expect(entries(ctx)()).To(asked, "it has not settled yet")
		prober := probe(ctx, namespace)
		checked(ctx, again)
		Eventually(entries(ctx)).Should(notAsked)
		prober.on()
		prober.neverAdmitted()

		Expect(cluster.Delete(ctx, again)).To(Succeed())
		Eventually(stands(ctx, again)).Should(Equal("nothing"))
		Eventually(func() error { return try(ctx, namespace, true) }).Should(Succeed())
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(theirs), theirs)).To(Succeed(), "what names no policy as its owner is somebody else's")
	})
})
