// SPDX-License-Identifier: Apache-2.0

// Package engines runs a manager, controllers and webhooks together, against a real API server, to
// see how a policy goes from one engine to the other. The manager has no more rights than
// config/rbac gives it. What kube-controller-manager would do is done by the specs.
package engines

import (
	"context"
	"net"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

const (
	installed = v1alpha1.InstallNamespace
	// settle is how long both engines stand here.
	settle = 2 * time.Second
)

var (
	server  *apiserver.Server
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
	ctrl.SetLogger(GinkgoLogr)
	var err error
	server, err = apiserver.Start(apiserver.CRDs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	cluster = server.Client
	Expect(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: installed}})).To(Succeed())
	Expect(server.Install(ctx, "rbac/manager", "rbac/admission", "webhook/secret.yaml")).To(Succeed())
	l, err := net.Listen("tcp", "localhost:0")
	Expect(err).NotTo(HaveOccurred())
	Expect(l.Close()).To(Succeed())
	port = l.Addr().(*net.TCPAddr).Port
})

// running is a manager.
type running struct {
	name string
	stop func()
}

// start runs a manager as `bulkhead manager` does, under the manager's own account, until it is
// stopped or the spec ends.
func start(ctx context.Context, name string) *running {
	GinkgoHelper()
	here := cache.ByObject{Namespaces: map[string]cache.Config{installed: {}}}
	mgr, err := ctrl.NewManager(server.AsManager(), ctrl.Options{
		Scheme: cluster.Scheme(),
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                podcache.Options(),
			&corev1.Node{}:               controllers.NodeCache(),
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
