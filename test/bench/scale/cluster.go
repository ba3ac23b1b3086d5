// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

const managerName = "bulkhead-manager"

// cluster is an API server that is full of objects.
type cluster struct {
	*world
	server     *apiserver.Server
	store      *store
	kubeconfig string
	dir        string
	binary     string
	renewing   context.CancelFunc
	failed     chan error
}

// startCluster starts an API server, installs Bulkhead as it is shipped, without its processes, and
// fills the cluster.
func startCluster(ctx context.Context, w *world, dir string) (*cluster, error) {
	c := &cluster{world: w, dir: dir, failed: make(chan error, 1)}
	ctrl.SetLogger(logr.Discard())
	var environment *envtest.Environment
	var err error
	c.server, err = apiserver.Start(func(e *envtest.Environment) {
		environment = e
		// What the API server itself is to keep of 150,000 pods, their history and its own indexes.
		e.ControlPlane.Etcd = &envtest.Etcd{}
		e.ControlPlane.Etcd.Configure().Append("quota-backend-bytes", strconv.Itoa(8<<30))
		e.ControlPlaneStartTimeout = time.Minute
		// There is no kube-proxy: the API server itself goes to the endpoints of the webhook's Service.
	}, apiserver.Flag("enable-aggregator-routing", "true"))
	if err != nil {
		return nil, err
	}
	if c.store, err = openStore(environment.ControlPlane.Etcd.URL.String()); err != nil {
		return c, err
	}
	if err := c.install(ctx, environment.KubeConfig); err != nil {
		return c, err
	}
	progress("%d nodes, %d pods in %d namespaces, %d policies: storing them", w.Nodes, w.Pods, w.Namespaces, w.Policies)
	if err := c.store.fill(ctx, w); err != nil {
		return c, err
	}
	return c, c.createPolicies(ctx)
}

func (c *cluster) stop() {
	if c.renewing != nil {
		c.renewing()
	}
	if c.store != nil {
		_ = c.store.client.Close()
	}
	if c.server != nil {
		_ = c.server.Stop()
	}
}

// install applies what is shipped.
func (c *cluster) install(ctx context.Context, kubeconfig []byte) error {
	admin := filepath.Join(c.dir, "admin.kubeconfig")
	if err := os.WriteFile(admin, kubeconfig, 0o600); err != nil {
		return err
	}
	kubectl := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"),
		"--kubeconfig", admin, "--cache-dir", filepath.Join(c.dir, "cache"), "apply", "--server-side", "-k", "config/default")
	if out, err := kubectl.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply -k config/default: %w: %s", err, out)
	}
	c.binary = filepath.Join(c.dir, "bulkhead")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", c.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: managerName, Namespace: v1alpha1.InstallNamespace}}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](86400)}}
	if err := c.server.Client.SubResource("token").Create(ctx, account, token); err != nil {
		return fmt.Errorf("ask for a token of the manager's account: %w", err)
	}
	c.kubeconfig = filepath.Join(c.dir, "manager.kubeconfig")
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"bench": {Server: c.server.Config.Host, CertificateAuthorityData: c.server.Config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{managerName: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"bench": {Cluster: "bench", AuthInfo: managerName}},
		CurrentContext: "bench",
	}, c.kubeconfig)
}

// createPolicies stores the policies. The webhook that judges policies is in nobody's way before a
// manager has announced it.
func (c *cluster) createPolicies(ctx context.Context) error {
	all := c.policies()
	for i := range all {
		if err := c.server.Client.Create(ctx, &all[i]); err != nil {
			return fmt.Errorf("create IsolationPolicy %s: %w", all[i].Name, err)
		}
	}
	return nil
}

// agentsLive has the agents of all nodes say that they are alive, from now on.
func (c *cluster) agentsLive(ctx context.Context) error {
	if err := c.store.renew(ctx, c.world); err != nil {
		return err
	}
	ctx, c.renewing = context.WithCancel(ctx)
	go c.store.keepRenewing(ctx, c.world, func(err error) {
		select {
		case c.failed <- err:
		default:
		}
	})
	return nil
}

// startManager starts the manager as the shipped Deployment does, with the memory that is the target
// here and both processors.
func (c *cluster) startManager(ctx context.Context) (*process.Process, error) {
	var d appsv1.Deployment
	if err := c.server.Client.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: managerName}, &d); err != nil {
		return nil, err
	}
	if len(d.Spec.Template.Spec.Containers) == 0 {
		return nil, errors.New("the shipped Deployment has no container")
	}
	ports, err := process.FreePorts(3)
	if err != nil {
		return nil, err
	}
	if err := c.leadTo(ctx, ports[0]); err != nil {
		return nil, err
	}
	args := slices.Concat(d.Spec.Template.Spec.Containers[0].Args, []string{fmt.Sprintf("--webhook-port=%d", ports[0]),
		fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", ports[1]), fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", ports[2])})
	return process.Start(c.binary, args, []string{
		"KUBECONFIG=" + c.kubeconfig, "POD_NAME=" + managerName + "-bench", "POD_NAMESPACE=" + v1alpha1.InstallNamespace, "POD_UID=bench",
		"GOMEMLIMIT=" + goMemoryLimit,
	})
}

// leadTo leads the webhook's Service to a port of this machine, as the endpoint controller would.
func (c *cluster) leadTo(ctx context.Context, port int) error {
	address, err := process.OwnAddress()
	if err != nil {
		return err
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: v1alpha1.WebhookServiceName, Namespace: v1alpha1.InstallNamespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: v1alpha1.InstallNamespace, Name: managerName + "-bench"},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(int32(port))}},
	}
	if err := c.server.Client.Create(ctx, slice); err != nil {
		return fmt.Errorf("lead the webhook's Service to %s: %w", address, err)
	}
	return nil
}

// goMemoryLimit leaves an eighth of the target to what the Go runtime does not count: the program's own pages,
// some 50 MiB of them.
const goMemoryLimit = "525MiB"
