// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

// server is an API server on which Pod Security itself is off: what it refuses, Bulkhead refuses.
type server struct {
	*apiserver.Server
}

func startServer(t *testing.T) *server {
	t.Helper()
	s, err := apiserver.Start(
		apiserver.Flag("disable-admission-plugins", "PodSecurity"),
		// The webhook's Service leads to its endpoints without a kube-proxy.
		apiserver.Flag("enable-aggregator-routing", "true"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the API server: %v", err)
		}
	})
	return &server{s}
}

// install applies config/default as it is shipped.
func (s *server) install(ctx context.Context, t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	manifests, err := exec.CommandContext(ctx, kubectl, "kustomize", "../../config/default").Output()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Apply(ctx, manifests)).To(Succeed())
}

// reachable is an address of this machine that an endpoint of a Service may have: not the loopback.
func reachable(t *testing.T) net.IP {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range all {
		if n, ok := address.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	t.Fatal("this machine has no IPv4 address but the loopback: an API server cannot reach a Service here")
	return nil
}
