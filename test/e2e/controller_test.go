// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("A policy's status", func() {
	It("becomes Verified when the pods that it matches were observed, and kubectl can wait for it", func() {
		ns := k.namespace("quiet", "quiet")
		k.policy("quiet", `
  match: {namespaceSelector: {matchLabels: {tenancy: quiet}}}
  isolation: {pid: Container, network: Pod, mount: Container}
  admission: {action: Deny}`)
		DeferCleanup(k.kubectl, "", "delete", "isolationpolicy", "quiet")
		k.mustKubectl("wait", "--for=condition=Enforced", "isolationpolicy/quiet", "--timeout=60s")
		k.mustApply(pod(ns, "clean", ""))
		k.running(ns, "clean")
		Eventually(func() (v1alpha1.PodCounts, error) {
			p, err := k.getPolicy("quiet")
			return p.Status.Pods, err
		}).WithTimeout(soon).Should(Equal(v1alpha1.PodCounts{Matched: 1, Compliant: 1}))
		k.mustKubectl("wait", "--for=condition=Verified", "isolationpolicy/quiet", "--timeout=120s")
	})

	It("names a running pod that breaches it, with an event on the pod", func() {
		ns := k.namespace("lab", "trial")
		k.mustApply(privileged(ns, "peeper"))
		k.running(ns, "peeper")
		Eventually(func() ([]v1alpha1.PolicyFinding, error) {
			p, err := k.getPolicy("trial")
			return p.Status.Findings, err
		}).WithTimeout(soon).Should(ContainElement(SatisfyAll(
			HaveField("Namespace", ns), HaveField("Kind", v1alpha1.Breach), HaveField("Axis", v1alpha1.Axis("pid")),
		)))
		Eventually(func() string {
			return k.mustKubectl("-n", ns, "events", "--for", "pod/peeper")
		}).WithTimeout(soon).Should(ContainSubstring("Breach"))

		p, err := k.getPolicy("trial")
		Expect(err).NotTo(HaveOccurred())
		counts := p.Status.Pods
		Expect(counts.Matched).To(Equal(counts.Exempt + counts.Breached + counts.Violating + counts.Unverified + counts.Compliant))
	})

	It("judges a static pod that no admission could stop", Label("node"), func() {
		ns, node := k.namespace("shop", "shared"), k.aNode()
		k.onNode(node, privileged(ns, "static"), "sh", "-c", "cat >/etc/kubernetes/manifests/static.yaml")
		DeferCleanup(k.onNode, node, "", "rm", "-f", "/etc/kubernetes/manifests/static.yaml")
		Eventually(func() ([]v1alpha1.PolicyFinding, error) {
			p, err := k.getPolicy("tenants")
			return p.Status.Findings, err
		}).WithTimeout(90 * time.Second).Should(ContainElement(SatisfyAll(
			HaveField("Namespace", ns), HaveField("Pod", "static-"+node), HaveField("Kind", v1alpha1.Breach),
		)))
	})
})
