// SPDX-License-Identifier: Apache-2.0

// Package engines runs a manager, controllers and webhooks together, against a real API server, to
// see how a policy goes from one engine to the other. The manager has no more rights than
// config/rbac/manager gives it. What kube-controller-manager would do is done by the specs.
package engines

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
)

const (
	installed = v1alpha1.InstallNamespace
	// settle is how long both engines stand here.
	settle = 2 * time.Second
)

var (
	config  *rest.Config
	scheme  = runtime.NewScheme()
	cluster client.Client
	// port is where managers serve, one after the other, so that the API server finds the next one.
	port int
)

func TestEngines(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "engines")
}

var _ = BeforeSuite(func(ctx context.Context) {
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "KUBEBUILDER_ASSETS is not set: run them through `make test`")
	ctrl.SetLogger(GinkgoLogr)
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd"}, ErrorIfCRDPathMissing: true}
	var err error
	config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	// Whoever asks without pause is not to be slowed down.
	config.QPS = -1
	cluster, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	install(ctx)
	l, err := net.Listen("tcp", "localhost:0")
	Expect(err).NotTo(HaveOccurred())
	Expect(l.Close()).To(Succeed())
	port = l.Addr().(*net.TCPAddr).Port
})

// install puts into the cluster what the manager needs: its namespace, its rights as they are
// shipped, and the Secret, which is empty.
func install(ctx context.Context) {
	GinkgoHelper()
	Expect(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: installed}})).To(Succeed())
	for _, file := range []string{"rbac/manager/role.yaml", "webhook/secret.yaml"} {
		manifests, err := os.ReadFile(filepath.Join("../../../config", file))
		Expect(err).NotTo(HaveOccurred())
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
		for {
			var o unstructured.Unstructured
			err := decoder.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			Expect(err).NotTo(HaveOccurred(), file)
			Expect(cluster.Create(ctx, &o)).To(Succeed(), file)
		}
	}
}

// running is a manager.
type running struct {
	name string
	stop func()
}

// start runs a manager as `bulkhead manager` does, under the manager's own account, until it is
// stopped or the spec ends.
func start(ctx context.Context, name string) *running {
	GinkgoHelper()
	own := rest.CopyConfig(config)
	own.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:bulkhead-system:bulkhead-manager", Groups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	here := cache.ByObject{Namespaces: map[string]cache.Config{installed: {}}}
	mgr, err := ctrl.NewManager(own, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                controllers.PodCache(),
			&corev1.Secret{}:             admission.SecretCache(installed),
			&coordinationv1.Lease{}:      here,
			&discoveryv1.EndpointSlice{}: here,
			&admissionregistrationv1.ValidatingWebhookConfiguration{}:   controllers.WebhookConfigurationCache(),
			&admissionregistrationv1.ValidatingAdmissionPolicy{}:        controllers.GeneratedCache(),
			&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}: controllers.GeneratedCache(),
		}},
		NewClient: byURL,
		Metrics:   metricsserver.Options{BindAddress: "0"},
		// Several managers in one process count under one name.
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(admission.Setup(mgr, admission.Options{
		PodName: name, Host: "localhost", Port: port, ExtraDNSNames: []string{"localhost"},
	})).To(Succeed())
	Expect(controllers.Setup(mgr, controllers.Options{SettleTime: settle})).To(Succeed())

	running := &running{name: name}
	managed, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(managed) }()
	stopped := false
	running.stop = func() {
		GinkgoHelper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		Eventually(ended).Should(Receive(BeNil()))
	}
	DeferCleanup(running.stop)
	ready(ctx, name)
	return running
}
