// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// ManagerPod is the name of the pod that [Server.RunManager] plays.
const ManagerPod = "bulkhead-manager-0"

// Routed leads calls of Services to their endpoints, without a kube-proxy: so the webhook's Service is reached.
func Routed(e *envtest.Environment) { Flag("enable-aggregator-routing", "true")(e) }

// RunManager builds Bulkhead and runs its manager, a process of its own that reaches the API server as the configuration
// says, until stop is called or the test ends. It is behind the Service that is shipped: no controller manager runs
// here, so the endpoint is written by hand. The API server must be [Routed].
func (s *Server) RunManager(ctx context.Context, t testing.TB, as *rest.Config) (stop func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	dir := t.TempDir()
	bulkhead := filepath.Join(dir, "bulkhead")
	output, err := exec.CommandContext(ctx, "go", "build", "-o", bulkhead, "github.com/bulkhead-dev/bulkhead").CombinedOutput()
	g.Expect(err).NotTo(gomega.HaveOccurred(), string(output))

	port, health := FreePort(t), FreePort(t)
	s.serveAt(ctx, t, reachable(t), port)
	var log bytes.Buffer
	c := exec.Command(bulkhead, "manager", "--pod-name="+ManagerPod,
		"--excluded-namespaces="+v1alpha1.InstallNamespace+",kube-system",
		fmt.Sprintf("--webhook-port=%d", port), "--metrics-bind-address=0",
		fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", health))
	c.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig(t, dir, as))
	c.Stdout, c.Stderr = &log, &log
	g.Expect(c.Start()).To(gomega.Succeed())
	stop = sync.OnceFunc(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("the manager ended early: %v", err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("the manager ended: %v", err)
		}
		if t.Failed() {
			t.Logf("the end of the manager's log:\n%s", tail(log.Bytes(), 8<<10))
		}
	})
	t.Cleanup(stop)
	g.Eventually(func() error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", health))
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the manager is not ready: %s", resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	}).WithTimeout(time.Minute).Should(gomega.Succeed())
	return stop
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

// reachable is an address of this machine that an endpoint of a Service may have: not the loopback.
func reachable(t testing.TB) net.IP {
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

// serveAt writes what the controller manager would write of a ready pod behind the Service.
func (s *Server) serveAt(ctx context.Context, t testing.TB, address net.IP, port int32) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Expect(s.Client.Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: v1alpha1.WebhookServiceName + "-0", Namespace: v1alpha1.InstallNamespace,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName,
				discoveryv1.LabelManagedBy:   "endpointslice-controller.k8s.io",
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses:  []string{address.String()},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: v1alpha1.InstallNamespace, Name: ManagerPod},
		}},
	})).To(gomega.Succeed())
}

// kubeconfig writes a configuration into a file.
func kubeconfig(t testing.TB, dir string, as *rest.Config) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["server"] = &clientcmdapi.Cluster{Server: as.Host, CertificateAuthorityData: as.CAData}
	config.AuthInfos["manager"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: as.CertData, ClientKeyData: as.KeyData, Token: as.BearerToken,
		Impersonate: as.Impersonate.UserName, ImpersonateGroups: as.Impersonate.Groups,
	}
	config.Contexts["manager"] = &clientcmdapi.Context{Cluster: "server", AuthInfo: "manager"}
	config.CurrentContext = "manager"
	path := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
