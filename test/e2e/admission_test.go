// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("Admission", func() {
	It("refuses a pod that asks for less, and tells every reason at once", func() {
		ns := k.namespace("shop", "shared")
		out, err := k.apply(privileged(ns, "peeper"))
		Expect(err).To(HaveOccurred())
		Expect(out).To(SatisfyAll(
			ContainSubstring("tenants"),
			ContainSubstring("spec.hostPID"),
			ContainSubstring("Container"),
			ContainSubstring("spec.containers[0].securityContext.privileged"),
		))
	})

	It("flags the same pod where the policy only warns, and lets it run", func() {
		ns := k.namespace("lab", "trial")
		out := k.mustApply(privileged(ns, "peeper"))
		Expect(strings.ToLower(out)).To(ContainSubstring("warning"))
		Expect(out).To(SatisfyAll(ContainSubstring("trial"), ContainSubstring("spec.hostPID")))
		k.running(ns, "peeper")
	})

	It("refuses a debug container that is privileged, and admits a plain one", func() {
		ns := k.namespace("shop", "shared")
		k.mustApply(pod(ns, "web", ""))
		k.running(ns, "web")

		out, err := k.kubectl("", "-n", ns, "debug", "web", "--image="+image(), "--image-pull-policy=IfNotPresent",
			"--profile=sysadmin", "--attach=false", "--", "sleep", "1d")
		Expect(err).To(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("spec.ephemeralContainers[0].securityContext.privileged"))

		k.mustKubectl("-n", ns, "debug", "web", "--image="+image(), "--image-pull-policy=IfNotPresent",
			"--profile=general", "--attach=false", "--", "sleep", "1d")
	})

	It("leaves pods alone that no policy matches", func() {
		ns := k.namespace("free", "")
		out := k.mustApply(privileged(ns, "peeper"))
		Expect(strings.ToLower(out)).NotTo(ContainSubstring("warning"))
	})
})

var _ = Describe("With every replica of the manager gone", Serial, func() {
	It("refuses matching pods, and creates all others and the system's without delay", func() {
		shared, free := k.namespace("shop", "shared"), k.namespace("free", "")
		k.mustKubectl("-n", "bulkhead-system", "scale", "deployment/bulkhead-manager", "--replicas=0")
		DeferCleanup(func() {
			k.mustKubectl("-n", "bulkhead-system", "scale", "deployment/bulkhead-manager", "--replicas=2")
			k.mustKubectl("-n", "bulkhead-system", "rollout", "status", "deployment/bulkhead-manager", "--timeout=120s")
			k.mustKubectl("wait", "--for=condition=Enforced", "isolationpolicy/tenants", "--timeout=60s")
		})
		Eventually(func() string {
			return k.mustKubectl("-n", "bulkhead-system", "get", "pods", "-l", "app.kubernetes.io/component=manager", "-o", "name")
		}).WithTimeout(time.Minute).Should(BeEmpty())

		out, err := k.apply(privileged(shared, "peeper"))
		Expect(err).To(HaveOccurred(), "a violating pod was admitted: %s", out)
		out, err = k.apply(pod(shared, "clean", ""))
		Expect(err).To(HaveOccurred(), "nobody judged this pod: %s", out)

		for _, ns := range []string{free, "kube-system", "bulkhead-system"} {
			name := fmt.Sprintf("unmatched-%d", time.Now().UnixNano()%1e6)
			// The API server would wait for a webhook's timeout before it refuses.
			out, err := k.kubectl(pod(ns, name, ""), "create", "--request-timeout=3s", "-f", "-")
			Expect(err).NotTo(HaveOccurred(), "in %s: %s", ns, out)
			DeferCleanup(k.kubectl, "", "-n", ns, "delete", "pod", name, "--now", "--wait=false")
		}
	})
})
