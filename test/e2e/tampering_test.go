// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// fast is how often a prober tries that measures a gap.
const fast = 20 * time.Millisecond

// gap says how long a violator could get in, from a moment on.
func gap(p *prober, from time.Time) string {
	in := with(p.since(from), admitted)
	if len(in) == 0 {
		return "nothing got in"
	}
	last := in[len(in)-1]
	return fmt.Sprintf("open for %s: %d attempts got in", last.start.Add(last.took).Sub(from).Round(time.Millisecond), len(in))
}

// nothing selects no namespace.
var nothing = &metav1.LabelSelector{MatchLabels: map[string]string{"no-namespace": "has-this"}}

var _ = Describe("Somebody with the right to do so", Serial, func() {
	DescribeTable("edits the webhook configuration, and finds it restored", func(edit func(*admissionregistrationv1.ValidatingWebhookConfiguration)) {
		ns := k.namespace("shop", "shared")
		violator := k.probe("violates tenants (webhook)", ns, fast, violatingSpec())
		violator.eventually(refused)
		k.settled()
		wanted := k.webhooks()
		began := time.Now()
		if edit == nil {
			k.mustKubectl("delete", "validatingwebhookconfiguration", v1alpha1.WebhookConfigurationName)
		} else {
			edited := wanted.DeepCopy()
			edit(edited)
			k.replace(edited)
		}
		Eventually(func() []admissionregistrationv1.ValidatingWebhook { return k.webhooks().Webhooks }).
			WithTimeout(time.Minute).WithPolling(fast).Should(Equal(wanted.Webhooks))
		k.holdsFromNowOn(violator, began)
	},
		Entry("after letting everybody pass when the webhook fails", func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
			for i := range c.Webhooks {
				c.Webhooks[i].FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
			}
		}),
		Entry("after selecting no namespace", func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
			for i := range c.Webhooks {
				c.Webhooks[i].NamespaceSelector = nothing
			}
		}),
		Entry("after removing every entry", func(c *admissionregistrationv1.ValidatingWebhookConfiguration) { c.Webhooks = nil }),
		Entry("after trusting nobody in particular", func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
			for i := range c.Webhooks {
				c.Webhooks[i].ClientConfig.CABundle = nil
			}
		}),
		Entry("after deleting it altogether", nil),
	)

	DescribeTable("edits a generated ValidatingAdmissionPolicy or its binding, and finds them restored", func(edit func(*generated)) {
		k.denying("tampered", v1alpha1.EngineValidatingAdmissionPolicy, editDemands)
		violator := k.probe("violates tampered (VAP)", k.namespace("vault", "tampered"), fast, violatingSpec())
		violator.eventually(refused)
		wanted := k.generated("tampered")
		Expect(wanted).NotTo(BeNil())
		specs := func() []any {
			g := k.generated("tampered")
			if g == nil {
				return nil
			}
			return []any{g.policy.Spec, g.binding.Spec}
		}
		began := time.Now()
		if edit == nil {
			k.mustKubectl("delete", "validatingadmissionpolicybinding", wanted.binding.Name, "--wait=false")
			k.mustKubectl("delete", "validatingadmissionpolicy", wanted.policy.Name, "--wait=false")
		} else {
			edited := &generated{policy: wanted.policy.DeepCopy(), binding: wanted.binding.DeepCopy()}
			edit(edited)
			k.replace(edited.policy)
			k.replace(edited.binding)
		}
		Eventually(specs).WithTimeout(time.Minute).WithPolling(fast).Should(Equal([]any{wanted.policy.Spec, wanted.binding.Spec}))
		k.holdsFromNowOn(violator, began)
		k.enforced("tampered")
	},
		Entry("after letting it audit only", func(g *generated) {
			g.binding.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit}
		}),
		Entry("after selecting no namespace", func(g *generated) { g.policy.Spec.MatchConstraints.NamespaceSelector = nothing }),
		Entry("after finding everything in order", func(g *generated) {
			g.policy.Spec.Validations = []admissionregistrationv1.Validation{{Expression: "true"}}
		}),
		Entry("after deleting both altogether", nil),
	)
})

// holdsFromNowOn says that a violator gets in no more once it was refused again, and reports for how
// long it could.
func (c *cluster) holdsFromNowOn(violator *prober, began time.Time) {
	GinkgoHelper()
	restored := time.Since(began)
	// The API server learns of it a moment after it is stored.
	violator.eventually(refused)
	held := time.Now()
	Consistently(func() []attempt { return with(violator.since(held), admitted) }).WithTimeout(3 * time.Second).Should(BeEmpty())
	violator.stop()
	AddReportEntry(CurrentSpecReport().LeafNodeText, fmt.Sprintf("stored again after %s; %s", restored.Round(time.Millisecond), gap(violator, began)), ReportEntryVisibilityAlways)
}

// webhooks is the configuration; without entries if there is none.
func (c *cluster) webhooks() *admissionregistrationv1.ValidatingWebhookConfiguration {
	GinkgoHelper()
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	text, err := c.kubectl("", "get", "validatingwebhookconfiguration", v1alpha1.WebhookConfigurationName, "-o", "json", "--ignore-not-found")
	Expect(err).NotTo(HaveOccurred(), text)
	if strings.TrimSpace(text) != "" {
		Expect(json.Unmarshal([]byte(text), out)).To(Succeed())
	}
	return out
}

// generated is what a policy was compiled to.
type generated struct {
	policy  *admissionregistrationv1.ValidatingAdmissionPolicy
	binding *admissionregistrationv1.ValidatingAdmissionPolicyBinding
}

// generated reads it; nil if one of the two is missing.
func (c *cluster) generated(name string) *generated {
	GinkgoHelper()
	p, err := c.getPolicy(name)
	Expect(err).NotTo(HaveOccurred())
	of := "--field-selector=metadata.name=bulkhead-" + name + "-" + string(p.UID)
	var policies admissionregistrationv1.ValidatingAdmissionPolicyList
	var bindings admissionregistrationv1.ValidatingAdmissionPolicyBindingList
	Expect(c.get(&policies, "validatingadmissionpolicies", of)).To(Succeed())
	Expect(c.get(&bindings, "validatingadmissionpolicybindings", of)).To(Succeed())
	if len(policies.Items) == 0 || len(bindings.Items) == 0 {
		return nil
	}
	return &generated{&policies.Items[0], &bindings.Items[0]}
}

// replace stores an object as it is now, whatever stood there.
func (c *cluster) replace(o client.Object) {
	GinkgoHelper()
	o.SetResourceVersion("")
	text, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	out, err := c.kubectl(string(text), "replace", "-f", "-")
	Expect(err).NotTo(HaveOccurred(), out)
}

var _ = Describe("A policy in use", Serial, func() {
	for _, engine := range engines {
		It("can be deleted and made again under its name, and the new one holds from then on, with engine "+string(engine), func() {
			name := "again-" + strings.ToLower(string(engine)[:3])
			k.denying(name, engine, editDemands)
			ns := k.namespace("again", name)
			violator := k.probe("violates both", ns, fast, violatingSpec())
			violator.eventually(refused)
			host := cleanSpec()
			host.HostNetwork = true
			onlyOld := k.probe("violates the old one only", ns, fast, host)
			onlyOld.eventually(refused)
			held := time.Time{} // enforced since then
			neverIn := func() {
				GinkgoHelper()
				in := with(violator.since(held), admitted)
				Expect(in).To(BeEmpty(), "admitted %d times while the policy is enforced:\n%s", len(in), describe(in))
			}
			for range 3 {
				neverIn()
				deleted := time.Now()
				k.mustKubectl("delete", "isolationpolicy", name)
				k.storeDenying(name, engine, "portals: {privileged: Forbid}")
				k.enforced(name)
				held = time.Now()
				AddReportEntry("engine "+string(engine)+", without a policy from its deletion until the next is enforced",
					gap(violator, deleted), ReportEntryVisibilityAlways)
				violator.eventually(refused)
				onlyOld.eventually(admitted)
				// The next change demands more: nobody who violates both gets in by it.
				k.storeDenying(name, engine, editDemands)
				k.enforced(name)
				onlyOld.eventually(refused)
			}
			neverIn()
		})
	}

	It("can change its engine, there and back, and lets nobody through meanwhile", func() {
		k.denying("switched", v1alpha1.EngineWebhook, editDemands)
		ns := k.namespace("switched", "switched")
		violator, compliant := k.probe("violates", ns, fast, violatingSpec()), k.probe("complies", ns, fast, cleanSpec())
		violator.eventually(refused)
		compliant.eventually(admitted)
		for range 3 {
			for _, engine := range []v1alpha1.AdmissionEngine{v1alpha1.EngineValidatingAdmissionPolicy, v1alpha1.EngineWebhook} {
				k.storeDenying("switched", engine, editDemands)
				k.enforced("switched")
				violator.eventually(refused)
			}
		}
		violator.stop()
		compliant.stop()
		in := with(violator.all(), admitted)
		Expect(in).To(BeEmpty(), "admitted %d times:\n%s", len(in), describe(in))
		out := with(compliant.all(), refused, unjudged, unanswered)
		Expect(out).To(BeEmpty(), "kept out %d times:\n%s", len(out), describe(out))
		AddReportEntry("three switches there and back", violator.String()+"\n"+compliant.String(), ReportEntryVisibilityAlways)
	})
})
