// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// editDemands are violated by [privileged] pods.
const editDemands = `
isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container}
portals: {privileged: Forbid, capabilities: {forbid: [ALL]}}`

// editPod does to a pod all that is none of Bulkhead's business.
func (c *cluster) editPod(ns, name string) {
	GinkgoHelper()
	do := func(what string, args ...string) {
		GinkgoHelper()
		out, err := c.kubectl("", append([]string{"-n", ns}, args...)...)
		Expect(err).NotTo(HaveOccurred(), "%s of a running pod: %s", what, out)
		Expect(strings.ToLower(out)).NotTo(ContainSubstring("bulkhead"), what)
	}
	do("a resize", "patch", "pod", name, "--subresource=resize", "-p",
		`{"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "20m"}}}]}}`)
	do("a label", "label", "pod", name, "edited=yes", "--overwrite")
	do("an annotation", "annotate", "pod", name, "edited=yes", "--overwrite")
	do("a status", "patch", "pod", name, "--subresource=status", "--type=strategic", "-p",
		`{"status": {"conditions": [{"type": "bulkhead.dev/edited", "status": "True"}]}}`)
	do("a finalizer", "patch", "pod", name, "--type=merge", "-p", `{"metadata": {"finalizers": ["bulkhead.dev/edited"]}}`)
	do("a deletion", "delete", "pod", name, "--now", "--wait=false")
	do("the removal of a finalizer", "patch", "pod", name, "--type=merge", "-p", `{"metadata": {"finalizers": null}}`)
	do("the end", "wait", "pod", name, "--for=delete", "--timeout=60s")
}

var _ = Describe("A pod that violates a policy made after it", func() {
	for _, engine := range engines {
		Describe("under engine "+string(engine), Serial, Ordered, func() {
			var ns string
			names := []string{"first", "second"}
			const privilegedOnly = "privileged-only"
			BeforeAll(func() {
				tenancy := "edits-" + strings.ToLower(string(engine)[:3])
				ns = k.namespace("edits", tenancy)
				for _, name := range names {
					k.mustApply(strings.Replace(privileged(ns, name), "command: [sleep, 1d]",
						"command: [sleep, 1d], resources: {requests: {cpu: 10m}}", 1))
					k.running(ns, name)
				}
				k.mustApply(strings.Replace(privileged(ns, privilegedOnly), "hostPID: true", "hostPID: false", 1))
				k.running(ns, privilegedOnly)
				k.denying(tenancy, engine, editDemands)
				out, err := k.apply(privileged(ns, "third"))
				Expect(err).To(HaveOccurred(), "the policy does not hold: %s", out)
			})

			It("gets debug containers judged on their own fields", func() {
				debug := func(pod, profile string) (string, error) {
					return k.kubectl("", "-n", ns, "debug", pod, "--profile="+profile, "--image="+image(),
						"--image-pull-policy=IfNotPresent", "--attach=false", "--container="+profile, "--", "sleep", "1d")
				}
				out, err := debug(names[0], "baseline")
				Expect(err).To(HaveOccurred(), out)
				Expect(out).To(ContainSubstring("spec.hostPID is true"), "its namespaces are the pod's")
				out, err = debug(privilegedOnly, "baseline")
				Expect(err).NotTo(HaveOccurred(), out)
				out, err = debug(privilegedOnly, "sysadmin")
				Expect(err).To(HaveOccurred(), out)
				Expect(out).To(ContainSubstring("spec.ephemeralContainers[1].securityContext.privileged"))
			})

			It("can be resized, labelled, annotated, given a status and a finalizer, and deleted", func() {
				k.editPod(ns, names[0])
			})

			It("can be so while no replica of the manager is there", func() {
				k.withManagersGone()
				k.editPod(ns, names[1])
				out, err := k.apply(privileged(ns, "fourth"))
				Expect(err).To(HaveOccurred(), "a violating pod was admitted: %s", out)
				if engine == v1alpha1.EngineValidatingAdmissionPolicy {
					Expect(out).To(ContainSubstring("spec.hostPID"), "the API server itself knows why")
					k.mustApply(pod(ns, "fifth", ""))
				}
			})
		})
	}
})
