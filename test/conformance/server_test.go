// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// server is an API server on which Pod Security itself is off: what it refuses, Bulkhead refuses.
type server struct {
	config *rest.Config
	admin  client.Client
}

func startServer(t *testing.T) *server {
	t.Helper()
	g := NewWithT(t)
	g.Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "KUBEBUILDER_ASSETS is not set: run this through `make conformance`")
	environment := &envtest.Environment{}
	environment.ControlPlane.GetAPIServer().Configure().
		Append("disable-admission-plugins", "PodSecurity").
		// The webhook's Service leads to its endpoints without a kube-proxy.
		Set("enable-aggregator-routing", "true")
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Errorf("stop the API server: %v", err)
		}
	})
	// The fixtures come as fast as they are answered.
	config.QPS = -1
	scheme := runtime.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	admin, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return &server{config: config, admin: admin}
}

// install applies config/default as it is shipped.
func (s *server) install(ctx context.Context, t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	manifests, err := exec.CommandContext(ctx, kubectl, "kustomize", "../../config/default").Output()
	g.Expect(err).NotTo(HaveOccurred())
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		var o unstructured.Unstructured
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("read config/default: %v", err)
		}
		err := s.admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(&o), client.FieldOwner("test"))
		g.Expect(err).NotTo(HaveOccurred())
	}
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
