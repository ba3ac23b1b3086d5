// SPDX-License-Identifier: Apache-2.0

// Package controllers runs the controllers against a real API server. Agents and replicas of the
// webhook are played by writing what they would write.
package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/controllers"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

const installed = v1alpha1.InstallNamespace

var (
	server  *apiserver.Server
	cluster client.WithWatch
)

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "controllers")
}

var _ = BeforeSuite(func(ctx context.Context) {
	ctrl.SetLogger(GinkgoLogr)
	var err error
	server, err = apiserver.Start(apiserver.CRDs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	cluster = server.Client
	Expect(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: installed}})).To(Succeed())
})

// start runs the controllers until stop is called or the spec ends.
func start() (stop func()) {
	GinkgoHelper()
	return startWith(server.Config, controllers.Options{}, nil)
}

// startAs runs them as somebody, with a log of their own, and has them look for viewers' APIs so often.
func startAs(as *rest.Config, logger logr.Logger, look time.Duration) (stop func()) {
	GinkgoHelper()
	return startLogging(as, logger, controllers.Options{LookForViewers: look}, nil)
}

// startWith runs them with the rights of the configuration, and with the manager's client as it is made
// by newClient; nil for the usual one.
func startWith(as *rest.Config, o controllers.Options, newClient client.NewClientFunc) (stop func()) {
	GinkgoHelper()
	return startLogging(as, GinkgoLogr, o, newClient)
}

func startLogging(as *rest.Config, logger logr.Logger, o controllers.Options, newClient client.NewClientFunc) (stop func()) {
	GinkgoHelper()
	here := cache.ByObject{Namespaces: map[string]cache.Config{installed: {}}}
	// The manager may read no other Secret.
	certificate := here
	certificate.Field = fields.OneTermEqualSelector(metav1.ObjectNameField, v1alpha1.WebhookSecretName)
	mgr, err := ctrl.NewManager(as, ctrl.Options{
		Logger: logger, Scheme: cluster.Scheme(), NewClient: newClient,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                podcache.Options(),
			&corev1.Node{}:               controllers.NodeCache(),
			&corev1.Secret{}:             certificate,
			&coordinationv1.Lease{}:      here,
			&discoveryv1.EndpointSlice{}: here,
			&admissionregistrationv1.ValidatingWebhookConfiguration{}:   controllers.WebhookConfigurationCache(),
			&admissionregistrationv1.ValidatingAdmissionPolicy{}:        controllers.GeneratedCache(),
			&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}: controllers.GeneratedCache(),
		}},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	o.InstallNamespace, o.ExcludedNamespaces = installed, []string{"kube-system", "legacy"}
	Expect(controllers.Setup(mgr, o)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		GinkgoHelper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		var err error
		Eventually(ended).WithTimeout(soon).Should(Receive(&err))
		Expect(err).NotTo(HaveOccurred())
	}
	DeferCleanup(stop)
	return stop
}
