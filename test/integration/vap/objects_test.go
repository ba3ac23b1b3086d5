// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// everything demands all that can be demanded, and exempts in every way.
const everything = `
isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, user: Pod, cgroup: Container, mount: Container}
portals:
  privileged: Forbid
  procMount: Forbid
  mountPropagation: Forbid
  devices: Forbid
  runtimeSockets: Forbid
  windowsHostProcess: Forbid
  hostProbes: Forbid
  hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}, {pathPrefix: /srv}]}
  hostPorts: {allow: [{from: 30000, to: 31000}, {from: 80, to: 80}]}
  capabilities: {forbid: [SYS_ADMIN, CAP_SYS_PTRACE]}
exemptions:
- name: all
  reason: opens what can be opened
  namespaces: [elsewhere]
  serviceAccounts: [default]
  ephemeralContainers: true
  isolation: {pid: Pod, network: Host, ipc: Host, uts: Host, user: Host, cgroup: Host}
  portals:
    privileged: Allow
    procMount: Allow
    mountPropagation: Allow
    devices: Allow
    runtimeSockets: Allow
    windowsHostProcess: Allow
    hostProbes: Allow
    hostPaths: {allow: [{pathPrefix: /, readOnly: true}]}
    hostPorts: {allow: [{from: 9100, to: 9100}]}
    capabilities: {allow: [ALL]}
  expires: "2100-01-01T00:00:00Z"
- name: 2nd-host
  reason: shares more
  namespaces: [elsewhere]
  isolation: {pid: Host}
  portals: {hostPaths: {allow: [{pathPrefix: /data}]}}
`

var _ = Describe("What a policy is compiled to", func() {
	var w *world
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	for name, spec := range map[string]string{
		"everything":                    everything,
		"what no field of a pod speaks": "isolation: {mount: Container}",
		"one axis, warned of":           "isolation: {pid: Pod}\nadmission: {action: Warn, engine: ValidatingAdmissionPolicy}",
		"pods selected by their labels": "isolation: {user: Pod}\nmatch: {podSelector: {matchLabels: {app: web}}}",
	} {
		It("is stored as it is: "+name, func(ctx context.Context) {
			o := w.enforce(ctx, w.policy(ctx, spec))
			var policy admissionregistrationv1.ValidatingAdmissionPolicy
			var binding admissionregistrationv1.ValidatingAdmissionPolicyBinding
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(o.Policy), &policy)).To(Succeed())
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(o.Binding), &binding)).To(Succeed())
			same := func(stored, compiled any) {
				GinkgoHelper()
				if !apiequality.Semantic.DeepEqual(stored, compiled) {
					Expect(stored).To(Equal(compiled))
				}
			}
			same(policy.Spec, o.Policy.Spec)
			same(binding.Spec, o.Binding.Spec)
			for stored, compiled := range map[client.Object]client.Object{&policy: o.Policy, &binding: o.Binding} {
				same(stored.GetLabels(), compiled.GetLabels())
				same(stored.GetAnnotations(), compiled.GetAnnotations())
				same(stored.GetOwnerReferences(), compiled.GetOwnerReferences())
			}
		})
	}

	It("gives no type warnings", func() {
		discovered, err := discovery.NewDiscoveryClientForConfig(server.Config)
		Expect(err).NotTo(HaveOccurred())
		httpClient, err := rest.HTTPClientFor(server.Config)
		Expect(err).NotTo(HaveOccurred())
		mapper, err := apiutil.NewDynamicRESTMapper(server.Config, httpClient)
		Expect(err).NotTo(HaveOccurred())
		checker := &validating.TypeChecker{SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: discovered}, RestMapper: mapper}
		for name, p := range policies() {
			o, err := vap.Compile(p, vap.Options{})
			Expect(err).NotTo(HaveOccurred())
			Expect(checker.Check(o.Policy)).To(BeEmpty(), name)
			// The checker looks at nothing else.
			c := checker.CreateContext(o.Policy)
			for _, m := range o.Policy.Spec.MatchConditions {
				Expect(checker.CheckExpression(c, m.Expression)).To(BeEmpty(), name)
			}
			for _, a := range o.Policy.Spec.AuditAnnotations {
				Expect(checker.CheckExpression(c, a.ValueExpression)).To(BeEmpty(), name)
			}
			for _, v := range o.Policy.Spec.Variables {
				Expect(checker.CheckExpression(c, v.Expression)).To(BeEmpty(), "%s, variable %s", name, v.Name)
			}
			broken := o.Policy.DeepCopy()
			broken.Spec.Validations[0].Expression = "object.spec.hostPib"
			Expect(checker.Check(broken)).NotTo(BeEmpty(), "the checker finds nothing at all")
		}
	})
})

// policies are everything and the samples.
func policies() map[string]*v1alpha1.IsolationPolicy {
	GinkgoHelper()
	all := map[string]*v1alpha1.IsolationPolicy{"everything": {}}
	Expect(yaml.UnmarshalStrict([]byte(everything), &all["everything"].Spec)).To(Succeed())
	all["everything"].Name, all["everything"].Spec.Admission.Action = "everything", v1alpha1.Deny
	files, err := filepath.Glob("../../../config/samples/*.yaml")
	Expect(err).NotTo(HaveOccurred())
	Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		p := &v1alpha1.IsolationPolicy{}
		Expect(yaml.UnmarshalStrict(text, p)).To(Succeed(), file)
		all[file] = p
	}
	return all
}
