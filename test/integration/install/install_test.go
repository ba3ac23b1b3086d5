// SPDX-License-Identifier: Apache-2.0

// Package install tests the manifests in config/default against a real API server: what they
// install, and what they let nobody do.
package install

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var (
	server *apiserver.Server
	admin  client.Client
)

func TestInstall(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "config/default")
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	server, err = apiserver.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	admin = server.Client
	Expect(server.Install(ctx, "default")).To(Succeed())
	// The API server compiles a new admission policy within a moment.
	Eventually(func() error {
		return client.IgnoreNotFound(as("nobody", "").Create(ctx, report("probe"), client.DryRunAll))
	}).Should(MatchError(ContainSubstring("only the agent")))
})

const agent = "system:serviceaccount:bulkhead-system:bulkhead-agent"

// as is a client whose token is bound to a node; an empty node for one that is not. It may do
// everything as far as RBAC is concerned: what it may not, the admission policy refuses.
func as(user, node string) client.Client {
	GinkgoHelper()
	c := rest.CopyConfig(server.Config)
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters", "system:authenticated"}}
	if node != "" {
		c.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	}
	out, err := client.New(c, client.Options{Scheme: server.Client.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return out
}

func report(node string) *v1alpha1.NodeIsolationReport {
	return &v1alpha1.NodeIsolationReport{ObjectMeta: metav1.ObjectMeta{Name: node}}
}

func lease(name string, labels map[string]string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1alpha1.InstallNamespace, Labels: labels}}
}

var _ = Describe("A node's report", func() {
	It("is written by the agent of that node", func(ctx context.Context) {
		own, r := as(agent, "node-a"), report("node-a")
		Expect(own.Create(ctx, r)).To(Succeed())
		r.Status.PodsTotal = 1
		Expect(own.Status().Update(ctx, r)).To(Succeed())
	})
	DescribeTable("is written by nobody else", func(ctx context.Context, user, node, why string) {
		Expect(as(user, node).Create(ctx, report("node-b"))).To(MatchError(ContainSubstring(why)))

		existing := report("node-c")
		Expect(client.IgnoreAlreadyExists(as(agent, "node-c").Create(ctx, existing))).To(Succeed())
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(existing), existing)).To(Succeed())
		existing.Status.PodsTotal = 7
		Expect(as(user, node).Status().Update(ctx, existing)).To(MatchError(ContainSubstring(why)))
	},
		Entry("not by the agent of another node", agent, "node-a", "bound to node node-a"),
		Entry("not by the agent with a token that is bound to no node", agent, "", "bound to node <none>"),
		Entry("not by the manager", "system:serviceaccount:bulkhead-system:bulkhead-manager", "node-b", "only the agent"),
		Entry("not by a pod of another kind on the same node", "system:serviceaccount:shop:default", "node-b", "only the agent"),
		Entry("not by a cluster's administrator", "admin", "", "only the agent"),
	)
	It("goes when its node goes: deleting is not writing", func(ctx context.Context) {
		Expect(as(agent, "node-d").Create(ctx, report("node-d"))).To(Succeed())
		Expect(admin.Delete(ctx, report("node-d"))).To(Succeed())
	})
})

var _ = Describe("An agent's lease", func() {
	marked := map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseAgent}
	It("is renewed by the agent of that node alone", func(ctx context.Context) {
		l := lease("node-a", marked)
		Expect(as(agent, "node-a").Create(ctx, l)).To(Succeed())
		l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
		Expect(as(agent, "node-a").Update(ctx, l)).To(Succeed())
		Expect(as(agent, "node-b").Update(ctx, l)).To(MatchError(ContainSubstring("bound to node node-b")))
		Expect(as("admin", "").Update(ctx, l)).To(MatchError(ContainSubstring("only the agent")))
		l.Labels = nil
		Expect(as("admin", "").Update(ctx, l)).To(MatchError(ContainSubstring("only the agent")), "taking the label off is writing it")
	})
	It("is not made by the agent under another name, labelled or not", func(ctx context.Context) {
		Expect(as(agent, "node-a").Create(ctx, lease("node-e", marked))).To(MatchError(ContainSubstring("bound to node node-a")))
		Expect(as(agent, "node-a").Create(ctx, lease("bulkhead-manager", nil))).To(MatchError(ContainSubstring("bound to node node-a")))
	})
	It("does not get in the way of the manager's leases, or of other namespaces'", func(ctx context.Context) {
		Expect(as("system:serviceaccount:bulkhead-system:bulkhead-manager", "").Create(ctx, lease("leader", nil))).To(Succeed())
		other := lease("node-a", marked)
		other.Namespace = "default"
		Expect(as("system:node:node-a", "").Create(ctx, other)).To(Succeed())
	})
})

var _ = Describe("Evicting", func() {
	const manager = "system:serviceaccount:bulkhead-system:bulkhead-manager"
	may := func(ctx context.Context, verb, resource, sub string) bool {
		GinkgoHelper()
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: manager, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "shop", Verb: verb, Resource: resource, Subresource: sub},
		}}
		Expect(admin.Create(ctx, review)).To(Succeed())
		return review.Status.Allowed
	}
	It("is permitted by a component of its own alone, and that permits nothing else", func(ctx context.Context) {
		Expect(may(ctx, "create", "pods", "eviction")).To(BeFalse())
		Expect(server.Install(ctx, "components/eviction")).To(Succeed())
		Eventually(func() bool { return may(ctx, "create", "pods", "eviction") }).Should(BeTrue())
		Expect(may(ctx, "delete", "pods", "")).To(BeFalse())
		Expect(may(ctx, "create", "pods", "")).To(BeFalse())
		Expect(admin.Delete(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "bulkhead-eviction"}})).To(Succeed())
		Eventually(func() bool { return may(ctx, "create", "pods", "eviction") }).Should(BeFalse(), "as the README says")
	})
})

var _ = Describe("The samples", func() {
	It("are accepted", func(ctx context.Context) {
		files, err := filepath.Glob("../../../config/samples/*.yaml")
		Expect(err).NotTo(HaveOccurred())
		Expect(files).NotTo(BeEmpty())
		for _, file := range files {
			sample, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			Expect(server.Apply(ctx, sample)).To(Succeed(), file)
		}
	})
})
