// SPDX-License-Identifier: Apache-2.0

// Package conformance holds Bulkhead against Pod Security: the suite of Kubernetes' own controller
// (k8s.io/pod-security-admission/test) runs on a real API server on which that controller is off and
// Bulkhead is the only one to refuse a pod, once with either engine. Every fixture of the suite, at
// every version, must get the verdict that Pod Security's evaluator gives for the controls that
// Bulkhead covers.
package conformance

import (
	"context"
	"net/http"
	"os"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	psatest "k8s.io/pod-security-admission/test"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(zap.New())
	code := m.Run()
	printNotCovered(os.Stdout)
	os.Exit(code)
}

func TestWebhook(t *testing.T) {
	s := startServer(t)
	s.install(t.Context(), t)
	s.RunManager(t.Context(), t, s.AsManager())
	s.enforce(t.Context(), t, policies(v1alpha1.EngineWebhook))
	s.holdAgainst(t, v1alpha1.EngineWebhook)
}

func TestValidatingAdmissionPolicy(t *testing.T) {
	s := startServer(t)
	s.apply(t.Context(), t, policies(v1alpha1.EngineValidatingAdmissionPolicy))
	s.holdAgainst(t, v1alpha1.EngineValidatingAdmissionPolicy)
}

// apply puts into the API server what the policies are compiled to, as `bulkhead compile` prints it.
// No manager runs, and there are no IsolationPolicies: the API server is left alone with it.
func (s *server) apply(ctx context.Context, t *testing.T, all []*v1alpha1.IsolationPolicy) {
	t.Helper()
	g := NewWithT(t)
	for _, p := range all {
		compiled, err := vap.Compile(p, vap.Options{ExcludedNamespaces: []string{v1alpha1.InstallNamespace, "kube-system"}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(s.Client.Create(ctx, compiled.Policy)).To(Succeed())
		g.Expect(s.Client.Create(ctx, compiled.Binding)).To(Succeed())
	}
}

// holdAgainst runs the suite, and what it lacks.
func (s *server) holdAgainst(t *testing.T, engine v1alpha1.AdmissionEngine) {
	t.Helper()
	s.untilEnforced(t.Context(), t)
	version, err := discovery.NewDiscoveryClientForConfigOrDie(s.Config).ServerVersion()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	title := "Kubernetes " + version.GitVersion + ", engine " + string(engine)
	t.Run("PodSecuritySuite", func(t *testing.T) { s.runSuite(t, title, engine) })
	t.Run("Updates", func(t *testing.T) { s.runUpdates(t, title, engine) })
}

func (s *server) runSuite(t *testing.T, title string, engine v1alpha1.AdmissionEngine) {
	oracle, err := newOracle()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	r := newReport(title)
	defer func() {
		r.check(t)
		r.print(os.Stdout)
	}()
	config := rest.CopyConfig(s.Config)
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &tap{next: next, oracle: oracle, engine: engine, report: r}
	})
	psatest.Run(t, psatest.Options{ClientConfig: config, Checks: checks()})
}

// untilEnforced waits until pods are judged: the API server takes a moment to load what tells it to.
func (s *server) untilEnforced(ctx context.Context, t *testing.T) {
	t.Helper()
	s.label(ctx, t, s.newNamespace(ctx, t))
}
