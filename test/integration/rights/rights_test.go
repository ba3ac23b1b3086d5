// SPDX-License-Identifier: Apache-2.0

// Package rights runs manager and agent as they are installed, with tokens of their own accounts and all that config/
// grants them, has them do everything that they can, and reads in the API server's audit log what they asked for.
package rights

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
	"github.com/bulkhead-dev/bulkhead/test/rights"
)

// soon is when everything should have happened that does not wait for something else, on a slow machine.
const soon = time.Minute

// accounts have grants that are in no audit log, with why they are granted all the same.
var accounts = map[string]map[string]string{
	"bulkhead-manager": {
		"update isolationpolicies/finalizers.bulkhead.dev": "asked for by the admission plugin OwnerReferencesPermissionEnforcement, " +
			"which logs nothing; it is on here, so that nothing could be compiled without this",
	},
	"bulkhead-agent": nil,
}

var (
	server   *apiserver.Server
	auditLog string
)

func TestRights(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(soon)
	SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	RunSpecs(t, "rights")
}

var _ = BeforeSuite(func(ctx context.Context) {
	auditLog = filepath.Join(GinkgoT().TempDir(), "audit.log")
	var err error
	server, err = apiserver.Start(apiserver.Routed,
		apiserver.Flag("enable-admission-plugins", "OwnerReferencesPermissionEnforcement"),
		apiserver.Flag("audit-log-path", auditLog),
		// What the local cluster logs, too, on which the end-to-end suite does the same.
		apiserver.Flag("audit-policy-file", "../../../hack/cluster/internal/machine/files/audit.yaml"))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	Expect(server.Install(ctx, "default", "components/eviction")).To(Succeed())
})

var _ = Describe("Manager and agent", func() {
	It("use all that they are granted, and are denied nothing", func(ctx context.Context) {
		s := newScene(ctx)
		installReports(ctx, "wgpolicyk8s.io_policyreports.yaml")
		s.runAgent(ctx)
		s.runManager(ctx)
		asked := evicting(ctx, "asked", v1alpha1.EngineWebhook)
		Eventually(enforcement(ctx, asked)).Should(Equal(metav1.ConditionTrue))
		compiled := evicting(ctx, "compiled", v1alpha1.EngineValidatingAdmissionPolicy)
		Eventually(s.reports(ctx, policyReports)).Should(Equal(2))

		By("finding what it wrote hidden, and telling something twice")
		hideGenerated(ctx)
		flipEndpoint(ctx, asked)

		By("turning to another kind of report")
		installReports(ctx, "openreports.io_reports.yaml")
		Eventually(s.reports(ctx, openReports)).WithTimeout(2 * soon).Should(Equal(2))
		Eventually(s.reports(ctx, policyReports)).Should(BeZero())

		By("evicting what escaped")
		s.evicted(ctx)

		By("clearing up behind policies")
		Expect(server.Client.Delete(ctx, asked)).To(Succeed())
		Expect(server.Client.Delete(ctx, compiled)).To(Succeed())
		Eventually(s.reports(ctx, openReports)).Should(BeZero())

		for account, unused := range accounts {
			Eventually(func(ctx context.Context) ([]string, error) {
				run := runOf(ctx, account, unused)
				if denied := run.Denied(); len(denied) > 0 {
					// No later request makes up for it.
					return denied, StopTrying(strings.Join(denied, "\n"))
				}
				return run.Judge(), nil
			}).WithContext(ctx).WithTimeout(2 * soon).Should(BeEmpty())
		}
	})
})

// runOf is what an account asked for until now.
func runOf(ctx context.Context, account string, unused map[string]string) *rights.Run {
	GinkgoHelper()
	log, err := os.Open(auditLog)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(log.Close()).To(Succeed()) }()
	events, err := rights.ReadLog(log)
	Expect(err).NotTo(HaveOccurred())
	installed, err := rights.Installed(ctx, server.Client)
	Expect(err).NotTo(HaveOccurred())
	run := &rights.Run{Account: rights.Account(v1alpha1.InstallNamespace, account), Events: events, Unused: unused}
	run.Grants = installed.To(run.Account)
	return run
}

// as is the way to the API server with the token of an account, bound to a pod as those that a kubelet asks for.
func as(ctx context.Context, account string, pod *corev1.Pod) *rest.Config {
	GinkgoHelper()
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	holder := &corev1.ServiceAccount{}
	holder.Namespace, holder.Name = v1alpha1.InstallNamespace, account
	Expect(server.Client.SubResource("token").Create(ctx, holder, token)).To(Succeed())
	config := rest.AnonymousClientConfig(server.Config)
	config.BearerToken = token.Status.Token
	return config
}
