// SPDX-License-Identifier: Apache-2.0

// Package admission tests the webhooks as the API server meets them: it calls two replicas over
// TLS, which have no more rights than config/rbac gives them.
package admission

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/internal/podcache"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var (
	server   *apiserver.Server
	admin    client.Client
	auditLog string
	// Both serve; the API server calls the first.
	replicas [2]replica
)

// replica is one manager.
type replica struct {
	name            string
	uid             types.UID
	webhook, health string // host:port
}

func TestAdmission(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "admission")
}

var _ = BeforeSuite(func(ctx context.Context) {
	ctrl.SetLogger(zap.New(zap.WriteTo(GinkgoWriter)))
	startAPIServer()
	Expect(admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.InstallNamespace}})).To(Succeed())
	Expect(server.Install(ctx, "rbac/admission", "rbac/manager", "webhook/secret.yaml")).To(Succeed())

	managers, stop := context.WithCancel(context.Background())
	DeferCleanup(stop)
	for i := range replicas {
		replicas[i] = startReplica(managers, fmt.Sprintf("bulkhead-manager-%d", i))
	}
	for _, r := range replicas {
		Eventually(r.ready).Should(Succeed())
	}
	configureWebhooks(ctx)
})

func startAPIServer() {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	auditLog = filepath.Join(dir, "audit.log")
	policy := filepath.Join(dir, "audit.yaml")
	Expect(os.WriteFile(policy, []byte(`{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"Metadata","resources":[{"group":"","resources":["pods"]}]},{"level":"None"}]}`), 0o600)).To(Succeed())
	var err error
	server, err = apiserver.Start(apiserver.CRDs, apiserver.Flag("audit-log-path", auditLog), apiserver.Flag("audit-policy-file", policy))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	admin = server.Client
}

// startReplica starts a manager as `bulkhead manager` does, under the manager's own account.
func startReplica(ctx context.Context, name string) replica {
	GinkgoHelper()
	return startManager(ctx, name, nil)
}

// startEnding starts one that was asked to end when asked has ended, and goes on until over has.
func startEnding(asked, over context.Context, name string) replica {
	GinkgoHelper()
	return startManager(over, name, asked.Done())
}

func startManager(ctx context.Context, name string, ending <-chan struct{}) replica {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1alpha1.InstallNamespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "manager"}}},
	}
	Expect(admin.Create(ctx, pod)).To(Succeed())
	port, healthPort := int(apiserver.FreePort(GinkgoT())), apiserver.FreePort(GinkgoT())
	r := replica{
		name: name, uid: pod.UID,
		webhook: fmt.Sprintf("localhost:%d", port), health: fmt.Sprintf("localhost:%d", healthPort),
	}
	mgr, err := ctrl.NewManager(server.AsManager(), ctrl.Options{
		Scheme: admin.Scheme(),
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: podcache.Options(), &corev1.Secret{}: admission.SecretCache(v1alpha1.InstallNamespace),
		}},
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  r.health,
		LeaderElection:          true,
		LeaderElectionID:        "bulkhead-manager",
		LeaderElectionNamespace: v1alpha1.InstallNamespace,
		// Two managers in one process count under one name.
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(admission.Setup(mgr, admission.Options{
		PodName: name, PodUID: pod.UID, Host: "localhost", Port: port, ExtraDNSNames: []string{"localhost"},
		Ending: ending,
	})).To(Succeed())
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { done <- mgr.Start(ctx) }()
	DeferCleanup(func() {
		cancel()
		var err error
		Eventually(done).Should(Receive(&err))
		Expect(err).NotTo(HaveOccurred())
	})
	return r
}

// ready asks the replica's readiness check.
func (r replica) ready() error {
	resp, err := http.Get("http://" + r.health + "/readyz/" + admission.ReadyCheck)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", r.name, resp.Status)
	}
	return nil
}
