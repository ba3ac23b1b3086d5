// SPDX-License-Identifier: Apache-2.0

package machine

import (
	_ "embed"
	"fmt"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/api"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/process"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

//go:embed files/audit.yaml
var auditPolicy []byte

const etcdURL = "http://127.0.0.1:2379" // loopback of the cluster's own network namespace

// keepControlPlane starts the control plane. What needs the API server follows once
// that serves.
func keepControlPlane(supervisor *process.Supervisor, dir state.Dir, cluster *state.Cluster, client *api.Client) error {
	if err := state.WriteFile(dir.AuditPolicy(), auditPolicy, 0o600); err != nil {
		return fmt.Errorf("tell the API server what to audit: %w", err)
	}
	supervisor.Keep(service(cluster, "etcd", etcdArgs(dir)...))
	supervisor.Keep(service(cluster, "kube-apiserver", apiServerArgs(dir, cluster)...))
	go func() {
		client.WaitForServer()
		supervisor.Keep(service(cluster, "kube-controller-manager", controllerManagerArgs(dir)...))
		supervisor.Keep(service(cluster, "kube-scheduler", schedulerArgs(dir)...))
	}()
	return nil
}

func etcdArgs(dir state.Dir) []string {
	return []string{
		"--name=etcd",
		"--data-dir=" + dir.Etcd(),
		"--listen-client-urls=" + etcdURL,
		"--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=etcd=http://127.0.0.1:2380",
		"--log-level=warn",
		// Nothing here is worth surviving a power cut, and disks are slow.
		"--unsafe-no-fsync",
	}
}

func apiServerArgs(dir state.Dir, cluster *state.Cluster) []string {
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=" + cluster.Network.API(),
		"--advertise-address=" + cluster.Network.API(),
		fmt.Sprintf("--secure-port=%d", state.APIPort),
		"--service-cluster-ip-range=" + state.ServiceCIDR,
		"--tls-cert-file=" + dir.PKI("apiserver.crt"),
		"--tls-private-key-file=" + dir.PKI("apiserver.key"),
		"--client-ca-file=" + dir.PKI("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--audit-policy-file=" + dir.AuditPolicy(),
		"--audit-log-path=" + dir.Logs(state.AuditLog),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + dir.PKI("service-accounts.crt"),
		"--service-account-signing-key-file=" + dir.PKI("service-accounts.key"),
		// There is no DNS to look up a node's name in.
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority=" + dir.PKI("ca.crt"),
		"--kubelet-client-certificate=" + dir.PKI("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + dir.PKI("apiserver-kubelet.key"),
		// No kube-proxy runs beside the API server: it reaches webhooks and aggregated
		// servers by the addresses of their pods.
		"--enable-aggregator-routing",
		"--requestheader-client-ca-file=" + dir.PKI("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + dir.PKI("front-proxy.crt"),
		"--proxy-client-key-file=" + dir.PKI("front-proxy.key"),
	}
}

func controllerManagerArgs(dir state.Dir) []string {
	kubeconfig := dir.PKI("kube-controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + dir.PKI("service-accounts.key"),
		"--root-ca-file=" + dir.PKI("ca.crt"),
		"--cluster-signing-cert-file=" + dir.PKI("ca.crt"),
		"--cluster-signing-key-file=" + dir.PKI("ca.key"),
		"--requestheader-client-ca-file=" + dir.PKI("front-proxy-ca.crt"),
		// It makes an account per controller when it starts: with the limits that spare a
		// large cluster, that is what everything else would wait for.
		"--kube-api-qps=500",
		"--kube-api-burst=500",
		"--flex-volume-plugin-dir=" + dir.Path("flexvolumes"), // by default it makes a folder in /usr
	}
}

func schedulerArgs(dir state.Dir) []string {
	kubeconfig := dir.PKI("kube-scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
	}
}
