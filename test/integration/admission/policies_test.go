// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("A policy", func() {
	It("takes effect when it is created, changed and deleted", func(ctx context.Context) {
		n := namespace(ctx)
		create := func(ctx context.Context) error { return admin.Create(ctx, podIn(n, hostPID)) }
		Expect(create(ctx)).To(Succeed())
		p := serve(ctx, policyFor(n, v1alpha1.Deny))
		Expect(apierrors.IsForbidden(create(ctx))).To(BeTrue())

		p.Spec.Admission.Action = v1alpha1.Warn
		Expect(admin.Update(ctx, p)).To(Succeed())
		eventuallyServed(ctx, p)
		Expect(create(ctx)).To(Succeed())

		p.Spec.Admission.Action = v1alpha1.Deny
		Expect(admin.Update(ctx, p)).To(Succeed())
		eventuallyServed(ctx, p)
		Expect(apierrors.IsForbidden(create(ctx))).To(BeTrue())

		Expect(admin.Delete(ctx, p)).To(Succeed())
		for _, r := range replicas {
			Eventually(r.served).WithContext(ctx).ShouldNot(HaveKey(p.UID))
		}
		Expect(create(ctx)).To(Succeed())
	})

	It("is refused if its selectors mean nothing, which the schema cannot tell", func(ctx context.Context) {
		p := policyFor(namespace(ctx), v1alpha1.Deny)
		p.Spec.Match.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "tenancy", Operator: "Resembles", Values: []string{"shared"}}}
		p.Spec.Match.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "not a value"}}
		err := admin.Create(ctx, p)
		Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
		Expect(strings.Split(err.Error(), "\n")).To(HaveExactElements(
			And(HavePrefix(`admission webhook "policies.bulkhead.dev" denied the request: IsolationPolicy`), ContainSubstring("spec.match.namespaceSelector"), ContainSubstring("Resembles")),
			And(HavePrefix("spec.match.podSelector"), ContainSubstring("not a value")),
		))
		accepted := serve(ctx, policyFor(namespace(ctx), v1alpha1.Deny))
		accepted.Spec.Match = p.Spec.Match
		Expect(apierrors.IsInvalid(admin.Update(ctx, accepted))).To(BeTrue())
	})

	It("is refused if the engine that it names cannot carry it out, with the reason", func(ctx context.Context) {
		n := namespace(ctx)
		p := policyFor(n, v1alpha1.Deny)
		p.Spec.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy
		Expect(admin.Create(ctx, p.DeepCopy(), client.DryRunAll)).To(Succeed())
		p.Spec.Portals.HostPorts = &v1alpha1.HostPortsPortal{}
		for i := range 32 {
			e := v1alpha1.Exemption{
				Name: fmt.Sprintf("ports-%d", i), Reason: "many", Namespaces: []string{n.Name},
				Portals: &v1alpha1.ExemptPortals{HostPorts: &v1alpha1.HostPortsPortal{}},
			}
			for port := range int32(64) {
				e.Portals.HostPorts.Allow = append(e.Portals.HostPorts.Allow, v1alpha1.PortRange{From: 1 + port, To: 1 + port})
			}
			p.Spec.Exemptions = append(p.Spec.Exemptions, e)
		}
		err := admin.Create(ctx, p.DeepCopy(), client.DryRunAll)
		Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(And(
			ContainSubstring("spec.admission.engine: the API server cannot carry this policy out by itself; the engine Webhook can: "),
			ContainSubstring("spec.portals.hostPorts"))))
		p.Spec.Admission.Engine = v1alpha1.EngineWebhook
		Expect(admin.Create(ctx, p, client.DryRunAll)).To(Succeed())
	})

	It("is accepted with what its author should know", func(ctx context.Context) {
		p := policyFor(namespace(ctx), v1alpha1.Audit)
		p.Spec.Match.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		p.Spec.Portals.HostPaths.Allow = []v1alpha1.AllowedHostPath{{PathPrefix: "/data"}}
		p.Spec.Exemptions = []v1alpha1.Exemption{{
			Name: "over", Reason: "was needed", Namespaces: []string{"infra"},
			Isolation: &v1alpha1.Isolation{PID: "Host", Network: "Host", IPC: "Host", UTS: "Host"},
			Portals: &v1alpha1.ExemptPortals{Privileged: v1alpha1.PortalAllow, HostPaths: &v1alpha1.HostPathsPortal{
				Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/"}},
			}},
			Expires: &metav1.Time{Time: p.CreationTimestamp.AddDate(2000, 0, 0)},
		}}
		c, warnings := listening(server.Config)
		Expect(c.Create(ctx, p)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(admin.Delete(ctx, p)).To(Succeed()) })
		Expect(warnings()).To(ConsistOf(
			HavePrefix("spec.match.podSelector: whoever creates a pod chooses its labels"),
			HavePrefix(`spec.portals.hostPaths.allow[0]: pods may write below "/data"`),
			HavePrefix(`spec.exemptions[0].portals.hostPaths.allow[0]: pods may write below "/"`),
			HavePrefix(`spec.exemptions[0].expires: exemption "over" expired at 2001-01-01`),
			HavePrefix(`spec.exemptions[0]: exemption "over" opens everything that this policy demands`),
		))
	})

	It("that evicts warns its author while the manager may not", func(ctx context.Context) {
		p := policyFor(namespace(ctx), v1alpha1.Audit)
		p.Spec.Runtime.Action = v1alpha1.Evict
		c, warnings := listening(server.Config)
		Expect(c.Create(ctx, p.DeepCopy(), client.DryRunAll)).To(Succeed())
		Expect(warnings()).To(ConsistOf(ContainSubstring("until config/components/eviction is installed")))
		Expect(server.Install(ctx, "components/eviction")).To(Succeed())
		Eventually(func() []string {
			c, warnings := listening(server.Config)
			Expect(c.Create(ctx, p.DeepCopy(), client.DryRunAll)).To(Succeed())
			return warnings()
		}).WithContext(ctx).Should(BeEmpty())
	})
})
