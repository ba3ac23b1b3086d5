// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// engines are what carries admission out. What one of them promises, both promise.
var engines = []v1alpha1.AdmissionEngine{v1alpha1.EngineWebhook, v1alpha1.EngineValidatingAdmissionPolicy}

// denying makes a Deny policy for namespaces with the label tenancy: NAME, which goes with the spec,
// and waits until it is enforced. demands is YAML at the level of spec.
func (c *cluster) denying(name string, engine v1alpha1.AdmissionEngine, demands string) {
	GinkgoHelper()
	c.storeDenying(name, engine, demands)
	DeferCleanup(c.kubectl, "", "delete", "isolationpolicy", name, "--ignore-not-found")
	c.enforced(name)
}

// storeDenying stores such a policy.
func (c *cluster) storeDenying(name string, engine v1alpha1.AdmissionEngine, demands string) {
	GinkgoHelper()
	c.policy(name, fmt.Sprintf(`
  match: {namespaceSelector: {matchLabels: {tenancy: %s}}}
  admission: {action: Deny, engine: %s}
%s`, name, engine, indent(demands)))
}

func indent(yaml string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(yaml), "\n", "\n  ")
}

// enforced waits until what stands under this name now is enforced as it is now.
func (c *cluster) enforced(name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		p, err := c.getPolicy(name)
		g.Expect(err).NotTo(HaveOccurred())
		e := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionEnforced)
		g.Expect(e).NotTo(BeNil(), "policy %s has no condition yet", name)
		g.Expect(e.ObservedGeneration).To(Equal(p.Generation), "policy %s: %s", name, e.Message)
		g.Expect(string(e.Status)).To(Equal("True"), "policy %s: %s: %s", name, e.Reason, e.Message)
	}).WithTimeout(90 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
}

// settled waits until the webhook is asked for the policies of its engine, and for no others: a policy
// of the other engine has it for a while after it was made, and one that was deleted a moment longer.
func (c *cluster) settled() {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var policies v1alpha1.IsolationPolicyList
		g.Expect(c.get(&policies, "isolationpolicies")).To(Succeed())
		want, asked := map[string]bool{}, map[string]bool{}
		for i := range policies.Items {
			if s := &policies.Items[i].Spec; s.Admission.Engine == v1alpha1.EngineWebhook && s.Match != nil {
				want[s.Match.NamespaceSelector.MatchLabels["tenancy"]] = true
			}
		}
		for _, w := range c.webhooks().Webhooks {
			if strings.HasSuffix(w.Name, ".pods.bulkhead.dev") {
				asked[w.NamespaceSelector.MatchLabels["tenancy"]] = true
			}
		}
		g.Expect(asked).To(Equal(want), "whom the webhook is asked about")
	}).WithTimeout(time.Minute).WithPolling(200 * time.Millisecond).Should(Succeed())
}

// withManagersGone takes every replica of the manager away until the spec ends, once what needs none
// needs none.
func (c *cluster) withManagersGone() {
	GinkgoHelper()
	c.settled()
	c.mustKubectl("-n", "bulkhead-system", "scale", "deployment/bulkhead-manager", "--replicas=0")
	DeferCleanup(c.managersBack)
	Eventually(c.managers).WithTimeout(time.Minute).Should(BeEmpty())
}

// managersBack waits until both replicas serve again.
func (c *cluster) managersBack() {
	GinkgoHelper()
	c.mustKubectl("-n", "bulkhead-system", "scale", "deployment/bulkhead-manager", "--replicas=2")
	c.mustKubectl("-n", "bulkhead-system", "rollout", "status", "deployment/bulkhead-manager", "--timeout=180s")
	c.enforced("tenants")
}

// managers are the names of the replicas' pods.
func (c *cluster) managers() []string {
	GinkgoHelper()
	return strings.Fields(c.mustKubectl("-n", "bulkhead-system", "get", "pods",
		"-l", "app.kubernetes.io/component=manager", "-o", "jsonpath={.items[*].metadata.name}"))
}
