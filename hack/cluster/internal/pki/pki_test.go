// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

func TestWriteAll(t *testing.T) {
	dir := state.Dir(t.TempDir())
	network := state.Network{Subnet: 3}
	cluster := &state.Cluster{Name: "a", Network: network, Nodes: network.MakeNodes("a", 1)}
	if err := WriteAll(dir, cluster); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(dir.PKI("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for name, host := range map[string]string{"apiserver": "10.213.3.1", "a-1": "10.213.3.11"} {
		pair, err := tls.LoadX509KeyPair(dir.PKI(name+".crt"), dir.PKI(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s is not trusted as %s: %v", name, host, err)
		}
	}
	for _, path := range []string{dir.Kubeconfig(), dir.PKI("ca.key"), dir.PKI("a-1.kubeconfig")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s: others can read it", path, info.Mode())
		}
	}
	kubeconfig, err := os.ReadFile(dir.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(kubeconfig), "server: https://10.213.3.1:6443") {
		t.Errorf("the kubeconfig does not name the API server:\n%s", kubeconfig)
	}
}

func TestClientCertificateNamesUserAndGroups(t *testing.T) {
	ca, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Client("system:node:a", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	subject := loaded.Leaf.Subject
	if subject.CommonName != "system:node:a" || len(subject.Organization) != 1 || subject.Organization[0] != "system:nodes" {
		t.Errorf("got %s", subject)
	}
}
