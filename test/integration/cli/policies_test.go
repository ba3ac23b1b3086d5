// SPDX-License-Identifier: Apache-2.0

// Package cli tests that the commands that know no cluster judge as a cluster does, and those that read one.
package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/check"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var (
	cluster client.Client
	config  *rest.Config
)

func TestCommandLine(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/cmd")
}

var _ = BeforeSuite(func() {
	server, err := apiserver.Start(apiserver.CRDs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	cluster, config = server.Client, server.Config
})

const header = "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: p}\n"

// policies are valid and invalid ones, each invalid in one way.
var policies = map[string]string{
	"a small one":     header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"defaults":        header + "spec: {portals: {hostPaths: {}}, admission: {action: Warn, engine: null}, runtime: {}}",
	"empty selectors": header + "spec: {match: {namespaceSelector: {}, podSelector: {}}, portals: {privileged: Forbid}, admission: {action: Audit}}",
	"a full one": header + `spec:
  match: {namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}}
  isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container, user: Host, cgroup: Container}
  portals: {privileged: Forbid, hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}]}, hostPorts: {allow: [{from: 1, to: 65535}]}}
  admission: {action: Deny, engine: Webhook}
  runtime: {action: Report}
  exemptions: [{name: a, reason: r, namespaces: [b], serviceAccounts: [c], portals: {privileged: Allow}, ephemeralContainers: true, expires: "2027-01-01T00:00:00Z"}]`,
	"status in a creation":                header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}\nstatus: {findingsTotal: 3}",
	"no name":                             strings.Replace(header, "{name: p}", "{}", 1) + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"a name in capitals":                  strings.Replace(header, "name: p", "name: P", 1) + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"a name of 64 characters":             strings.Replace(header, "name: p", "name: "+strings.Repeat("p", 64), 1) + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"a namespace":                         strings.Replace(header, "name: p", "name: p, namespace: default", 1) + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"a label that is none":                strings.Replace(header, "name: p", "name: p, labels: {a b: c}", 1) + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"no spec":                             header,
	"an unknown field":                    header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, axes: {}}",
	"an unknown field of metadata":        strings.Replace(header, "name: p", "name: p, called: q", 1) + "spec: {isolation: {pid: Pod}, admission: {action: Deny}}",
	"a wrong type":                        header + "spec: {isolation: {pid: 1}, admission: {action: Deny}}",
	"nothing demanded":                    header + "spec: {admission: {action: Deny}}",
	"an empty demand":                     header + "spec: {isolation: {}, admission: {action: Deny}}",
	"no action":                           header + "spec: {isolation: {pid: Pod}, admission: {}}",
	"a level of another axis":             header + "spec: {isolation: {mount: Pod}, admission: {action: Deny}}",
	"the time axis":                       header + "spec: {isolation: {time: Host}, admission: {action: Deny}}",
	"the other engine":                    header + "spec: {isolation: {pid: Pod}, admission: {action: Deny, engine: ValidatingAdmissionPolicy}}",
	"an engine that does not exist":       header + "spec: {isolation: {pid: Pod}, admission: {action: Deny, engine: Gatekeeper}}",
	"eviction":                            header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, runtime: {action: Evict}}",
	"a portal by its switch":              header + "spec: {portals: {devices: Forbid}, admission: {action: Deny}}",
	"a portal that allows what it cannot": header + "spec: {portals: {devices: Allow}, admission: {action: Deny}}",
	"capabilities":                        header + "spec: {portals: {capabilities: {forbid: [SYS_ADMIN, ALL]}}, admission: {action: Deny}}",
	"no capabilities":                     header + "spec: {portals: {capabilities: {forbid: []}}, admission: {action: Deny}}",
	"a capability that is none":           header + "spec: {portals: {capabilities: {forbid: [\"sys admin\"]}}, admission: {action: Deny}}",
	"an exemption of a portal":            header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, exemptions: [{name: a, reason: r, namespaces: [b], portals: {devices: Allow}}]}",
	"an exemption that opens nothing":     header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, exemptions: [{name: a, reason: r, namespaces: [b]}]}",
	"an exemption for nobody":             header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, exemptions: [{name: a, reason: r, namespaces: [], isolation: {pid: Host}}]}",
	"a namespace twice":                   header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, exemptions: [{name: a, reason: r, namespaces: [b, b], isolation: {pid: Host}}]}",
	"an exemption twice":                  header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, exemptions: [{name: a, reason: r, namespaces: [b], isolation: {pid: Host}}, {name: a, reason: r, namespaces: [c], isolation: {pid: Host}}]}",
	"a time that is none":                 header + "spec: {isolation: {pid: Pod}, admission: {action: Deny}, exemptions: [{name: a, reason: r, namespaces: [b], isolation: {pid: Host}, expires: soon}]}",
	"a path with dots":                    header + "spec: {portals: {hostPaths: {allow: [{pathPrefix: /var/../etc}]}}, admission: {action: Deny}}",
	"a port that is none":                 header + "spec: {portals: {hostPorts: {allow: [{from: 0, to: 70000}]}}, admission: {action: Deny}}",
	"a range backwards":                   header + "spec: {portals: {hostPorts: {allow: [{from: 2, to: 1}]}}, admission: {action: Deny}}",
}

// servers asks the API server, as kubectl does.
func servers(ctx context.Context, text string) error {
	GinkgoHelper()
	o := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(text), &o.Object)).To(Succeed())
	return cluster.Create(ctx, o, client.DryRunAll, client.FieldValidation("Strict"))
}

// offline judges a pod by the policy; the code is 2 if the policy is refused.
func offline(text string) (code int, told string) {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "policy.yaml")
	Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	c := check.Command()
	var out, errOut bytes.Buffer
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetIn(strings.NewReader("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n"))
	c.SetOut(&out)
	c.SetErr(&errOut)
	c.SetArgs([]string{"-f", "-", "--policy", path})
	var exited *exit.Error
	if errors.As(c.Execute(), &exited) {
		code = exited.Code
	}
	return code, errOut.String()
}

// valueRefused begins the message of a rule in CEL. Kubernetes 1.34 still tells the type of the
// value in place of the value.
var valueRefused = regexp.MustCompile(`^Invalid value: ("(object|array|string|integer)": )?`)

var _ = Describe("check", func() {
	for name, text := range policies {
		It("takes and refuses policies as the API server does: "+name, func(ctx SpecContext) {
			refused := servers(ctx, text)
			code, told := offline(text)
			if refused == nil {
				Expect(code).NotTo(Equal(2), told)
				return
			}
			Expect(code).To(Equal(2), "the API server says: %v", refused)
			var status apierrors.APIStatus
			if errors.As(refused, &status) && status.Status().Details != nil {
				for _, cause := range status.Status().Details.Causes {
					if strings.Contains(cause.Message, "some validation rules were not checked") {
						continue
					}
					reason := valueRefused.ReplaceAllString(cause.Message, "")
					Expect(told).To(ContainSubstring(reason), "the reason of the API server")
				}
			}
		})
	}
})
