// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"encoding/base64"
	"fmt"
	"os"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// WriteAll makes everything that the cluster's parts show each other, in the
// cluster's folder:
//
//	pki/ca, front-proxy-ca            the two authorities
//	pki/apiserver                     what the API server shows its clients
//	pki/apiserver-kubelet, front-proxy what it shows kubelets and aggregated servers
//	pki/service-accounts              signs and checks tokens
//	pki/<node>                        what a kubelet shows the API server
//	pki/*.kubeconfig                  one per component and node
//	kubeconfig                        the administrator's
func WriteAll(dir state.Dir, cluster *state.Cluster) error {
	if err := os.MkdirAll(dir.PKI(), 0o700); err != nil {
		return fmt.Errorf("make the folder of keys: %w", err)
	}
	ca, err := NewAuthority("bulkhead-cluster-" + cluster.Name)
	if err != nil {
		return err
	}
	frontCA, err := NewAuthority("front-proxy")
	if err != nil {
		return err
	}
	w := writer{dir: dir, cluster: cluster, ca: ca}
	w.pair("ca")(ca.Pair())
	w.pair("front-proxy-ca")(frontCA.Pair())
	w.pair("front-proxy")(frontCA.Client("front-proxy-client"))
	w.pair("service-accounts")(SigningKeys())
	w.pair("apiserver-kubelet")(ca.Client("kube-apiserver-kubelet-client", "system:masters"))
	w.pair("apiserver")(ca.Server("kube-apiserver", cluster.Network.API(), state.ServiceIP, "127.0.0.1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"))

	w.kubeconfig(dir.Kubeconfig(), "bulkhead-admin", "system:masters")
	w.kubeconfig(dir.PKI("kube-controller-manager.kubeconfig"), "system:kube-controller-manager")
	w.kubeconfig(dir.PKI("kube-scheduler.kubeconfig"), "system:kube-scheduler")
	w.kubeconfig(dir.PKI("kube-proxy.kubeconfig"), "system:kube-proxy")
	for _, node := range cluster.Nodes {
		w.pair(node.Name)(ca.Server("system:node:"+node.Name, node.Name, node.Address))
		w.kubeconfig(dir.PKI(node.Name+".kubeconfig"), "system:node:"+node.Name, "system:nodes")
	}
	return w.err
}

// writer writes until something fails, and keeps that error.
type writer struct {
	dir     state.Dir
	cluster *state.Cluster
	ca      *Authority
	err     error
}

func (w *writer) pair(name string) func(Pair, error) {
	return func(pair Pair, err error) {
		if w.err == nil && err == nil {
			err = pair.Write(w.dir.PKI(name))
		}
		if w.err == nil {
			w.err = err
		}
	}
}

func (w *writer) kubeconfig(path, user string, groups ...string) {
	pair, err := w.ca.Client(user, groups...)
	if err == nil {
		err = state.WriteFile(path, w.render(user, pair), 0o600)
	}
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) render(user string, pair Pair) []byte {
	base64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[4]s
  user:
    client-certificate-data: %[5]s
    client-key-data: %[6]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[4]q}
current-context: %[1]s
`, "bulkhead-cluster-"+w.cluster.Name, w.cluster.Network.APIURL(), base64(w.ca.pem), user, base64(pair.Cert), base64(pair.Key))
}
