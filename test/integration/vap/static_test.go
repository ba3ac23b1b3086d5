// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/internal/cmd"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

const staticPolicy = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: always}
spec: {isolation: {pid: Pod}, admission: {action: Deny}}
`

var _ = Describe("An API server that loads policies from files", func() {
	It("enforces what bulkhead compile --static prints, where nobody can delete it", func(ctx context.Context) {
		discovered, err := discovery.NewDiscoveryClientForConfig(server.Config)
		Expect(err).NotTo(HaveOccurred())
		v, err := discovered.ServerVersion()
		Expect(err).NotTo(HaveOccurred())
		if version.MustParseGeneric(v.GitVersion).LessThan(version.MustParseGeneric("1.36.0")) {
			Skip("API servers load policies from files since 1.36")
		}
		c := startWith(write(staticPolicy))
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "bad", Namespace: "default"},
			Spec:       corev1.PodSpec{HostPID: true, Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
		}
		Expect(c.Create(ctx, pod, client.DryRunAll)).To(MatchError(And(
			ContainSubstring("ValidatingAdmissionPolicy 'bulkhead-always.static.k8s.io'"),
			ContainSubstring("pid: spec.hostPID is true and claims Host, Pod is required"))))
		pod.Spec.HostPID = false
		Expect(c.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		var policies admissionregistrationv1.ValidatingAdmissionPolicyList
		Expect(c.List(ctx, &policies)).To(Succeed())
		for _, p := range policies.Items {
			Expect(p.Name).NotTo(HavePrefix("bulkhead-"), "it is no object that somebody could delete")
		}
	})
})

// write compiles the policy into a folder, and is the configuration of an API server that loads it.
func write(policy string) (configuration string) {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	manifests := filepath.Join(dir, "policies")
	Expect(os.Mkdir(manifests, 0o700)).To(Succeed())
	var out, errOut bytes.Buffer
	Expect(cmd.Main([]string{"compile", "-f", "-", "--static"}, strings.NewReader(policy), &out, &errOut)).To(BeZero(), errOut.String())
	Expect(os.WriteFile(filepath.Join(manifests, "bulkhead.yaml"), out.Bytes(), 0o600)).To(Succeed())
	configuration = filepath.Join(dir, "admission.yaml")
	Expect(os.WriteFile(configuration, []byte(`
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionPolicy
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ValidatingAdmissionPolicyConfiguration
    staticManifestsDir: `+manifests+"\n"), 0o600)).To(Succeed())
	return configuration
}

// startWith starts a second API server with that admission configuration.
func startWith(configuration string) client.Client {
	GinkgoHelper()
	s, err := apiserver.Start(
		apiserver.Flag("admission-control-config-file", configuration),
		apiserver.Flag("feature-gates", "ManifestBasedAdmissionControlConfig=true"))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Stop)
	return s.Client
}
