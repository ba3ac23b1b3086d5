// SPDX-License-Identifier: Apache-2.0

package conformance

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
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

const (
	replica = "bulkhead-manager-0"
	soon    = time.Minute
)

// startManager builds Bulkhead and runs its manager, with the rights that are shipped, behind the
// Service that is shipped. No controller manager runs here, so the endpoint is written by hand.
func (s *server) startManager(ctx context.Context, t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	bulkhead := filepath.Join(dir, "bulkhead")
	output, err := exec.CommandContext(ctx, "go", "build", "-o", bulkhead, "github.com/bulkhead-dev/bulkhead").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))

	port, health := freePort(t), freePort(t)
	address := reachable(t)
	s.serveAt(ctx, t, address, port)
	var log bytes.Buffer
	c := exec.Command(bulkhead, "manager", "--pod-name="+replica,
		"--excluded-namespaces="+v1alpha1.InstallNamespace+",kube-system",
		fmt.Sprintf("--webhook-port=%d", port), "--metrics-bind-address=0",
		fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", health))
	c.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfigOfManager(t, dir))
	c.Stdout, c.Stderr = &log, &log
	g.Expect(c.Start()).To(Succeed())
	t.Cleanup(func() {
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
	g.Eventually(func() error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", health))
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the manager is not ready: %s", resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	}).WithTimeout(soon).Should(Succeed())
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// serveAt writes what the controller manager would write of a ready pod behind the Service.
func (s *server) serveAt(ctx context.Context, t *testing.T, address net.IP, port int32) {
	t.Helper()
	g := NewWithT(t)
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
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: v1alpha1.InstallNamespace, Name: replica},
		}},
	})).To(Succeed())
}

// kubeconfigOfManager leads to the API server as the manager's account.
func (s *server) kubeconfigOfManager(t *testing.T, dir string) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["server"] = &clientcmdapi.Cluster{Server: s.Config.Host, CertificateAuthorityData: s.Config.CAData}
	config.AuthInfos["manager"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: s.Config.CertData, ClientKeyData: s.Config.KeyData,
		Impersonate:       "system:serviceaccount:" + v1alpha1.InstallNamespace + ":bulkhead-manager",
		ImpersonateGroups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	config.Contexts["manager"] = &clientcmdapi.Context{Cluster: "server", AuthInfo: "manager"}
	config.CurrentContext = "manager"
	path := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// enforce stores the policies and waits until each says that it is enforced.
func (s *server) enforce(ctx context.Context, t *testing.T, all []*v1alpha1.IsolationPolicy) {
	t.Helper()
	g := NewWithT(t)
	for _, p := range all {
		// The webhook that checks policies may be asked a moment before it is reached.
		g.Eventually(func() error { return s.Client.Create(ctx, p) }).WithTimeout(soon).Should(Succeed())
	}
	for _, p := range all {
		g.Eventually(func(g Gomega) {
			g.Expect(s.Client.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
			g.Expect(p.Status.ObservedGeneration).To(Equal(p.Generation))
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionEnforced)
			g.Expect(c).To(HaveValue(HaveField("Status", metav1.ConditionTrue)))
		}).WithTimeout(soon).Should(Succeed())
	}
}
