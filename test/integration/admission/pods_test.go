// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("A pod", func() {
	It("is refused with every violation of every policy in one message", func(ctx context.Context) {
		n := namespace(ctx)
		first := serve(ctx, policyFor(n, v1alpha1.Deny))
		users := policyFor(n, v1alpha1.Deny)
		users.Spec.Isolation, users.Spec.Portals = &v1alpha1.Isolation{User: "Pod"}, nil
		users.GenerateName = "users-"
		serve(ctx, users)

		err := admin.Create(ctx, podIn(n, hostPID, hostNetwork))
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(strings.Split(err.Error(), "\n")).To(HaveExactElements(
			MatchRegexp(`^admission webhook "pods.bulkhead.dev" denied the request: pod "web-.*" asks for less isolation than is required:$`),
			Equal("policy "+first.Name+": pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false"),
			HavePrefix("policy "+first.Name+": network: spec.hostNetwork is true"),
			HavePrefix("policy "+first.Name+": uts: spec.hostNetwork is true"),
			Equal("policy "+users.Name+": user: spec.hostUsers is <unset> and claims Host, Pod is required: set it to false"),
		))
		Expect(apierrors.IsForbidden(admin.Create(ctx, podIn(n, hostPID), client.DryRunAll))).To(BeTrue(), "dry-run is judged the same")
		Expect(admin.Create(ctx, podIn(n, func(p *corev1.Pod) { p.Spec.HostUsers = new(bool) }))).To(Succeed())
		Expect(admin.Create(ctx, podIn(namespace(ctx), hostPID))).To(Succeed(), "elsewhere nothing is demanded")
	})

	It("is admitted with a warning under a Warn policy", func(ctx context.Context) {
		n := namespace(ctx)
		p := serve(ctx, policyFor(n, v1alpha1.Warn))
		c, warnings := listening(server.Config)
		Expect(c.Create(ctx, podIn(n, hostPID))).To(Succeed())
		Expect(warnings()).To(ConsistOf("bulkhead: policy " + p.Name + ": pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false"))
	})

	It("is admitted silently under an Audit policy, and written to the audit log", func(ctx context.Context) {
		n := namespace(ctx)
		p := serve(ctx, policyFor(n, v1alpha1.Audit))
		c, warnings := listening(server.Config)
		Expect(c.Create(ctx, podIn(n, hostPID))).To(Succeed())
		Expect(warnings()).To(BeEmpty())
		Eventually(os.ReadFile).WithArguments(auditLog).Should(ContainSubstring(
			`"pods.bulkhead.dev/violations":"policy ` + p.Name + `: pid: spec.hostPID is true`))
	})

	It("is admitted if an exemption opens what it asks for, which the audit log tells", func(ctx context.Context) {
		n := namespace(ctx)
		p := policyFor(n, v1alpha1.Deny)
		expired := metav1.NewTime(time.Now().Add(-time.Hour))
		p.Spec.Exemptions = []v1alpha1.Exemption{
			{Name: "tracing", Reason: "reads /proc", Namespaces: []string{n.Name}, ServiceAccounts: []string{"tracer"}, Isolation: &v1alpha1.Isolation{PID: "Host"}},
			{Name: "over", Reason: "was needed", Namespaces: []string{n.Name}, Isolation: &v1alpha1.Isolation{Network: "Host", UTS: "Host"}, Expires: &expired},
		}
		serve(ctx, p)
		tracer := func(p *corev1.Pod) { p.Spec.ServiceAccountName = "tracer" }
		Expect(admin.Create(ctx, podIn(n, hostPID, tracer))).To(Succeed())
		Eventually(os.ReadFile).WithArguments(auditLog).Should(ContainSubstring(`"pods.bulkhead.dev/exemptions":"` + p.Name + `/tracing"`))
		Expect(admin.Create(ctx, podIn(n, hostPID))).To(MatchError(ContainSubstring("pid: spec.hostPID is true")))
		Expect(admin.Create(ctx, podIn(n, hostNetwork))).To(MatchError(ContainSubstring("exemption over expired at")))
	})

	It("is refused in a namespace that was created a moment ago", func(ctx context.Context) {
		p := policyFor(&corev1.Namespace{}, v1alpha1.Deny)
		p.Spec.Match.NamespaceSelector.MatchLabels = map[string]string{"tenancy": "shared-of-this-test"}
		serve(ctx, p)
		for range 5 {
			n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "new-", Labels: map[string]string{"tenancy": "shared-of-this-test"}}}
			Expect(admin.Create(ctx, n)).To(Succeed())
			Expect(apierrors.IsForbidden(admin.Create(ctx, podIn(n, hostPID)))).To(BeTrue())
		}
	})

	It("that violates can still be labelled, finalized, told about and deleted", func(ctx context.Context) {
		n := namespace(ctx)
		pod := podIn(n, hostPID)
		pod.Finalizers = []string{"example.com/hold"}
		Expect(admin.Create(ctx, pod)).To(Succeed())
		serve(ctx, policyFor(n, v1alpha1.Deny))

		pod.Labels = map[string]string{"seen": "yes"}
		pod.Annotations = map[string]string{"seen": "yes"}
		Expect(admin.Update(ctx, pod)).To(Succeed())
		pod.Status.Phase = corev1.PodRunning
		Expect(admin.Status().Update(ctx, pod)).To(Succeed())
		Expect(admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		pod.Finalizers = nil
		Expect(admin.Update(ctx, pod)).To(Succeed())
		Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod))).To(BeTrue())
	})
})

var _ = Describe("A debug container", func() {
	It("is judged by itself when it is added to a pod that violates", func(ctx context.Context) {
		n := namespace(ctx)
		pod := podIn(n)
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
		Expect(admin.Create(ctx, pod)).To(Succeed())
		p := serve(ctx, policyFor(n, v1alpha1.Deny))
		add := func(edit func(*corev1.Pod)) error {
			current := &corev1.Pod{}
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), current)).To(Succeed())
			edit(current)
			return admin.SubResource("ephemeralcontainers").Update(ctx, current)
		}
		err := add(debugger("root", true))
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(strings.Split(err.Error(), "\n")).To(HaveExactElements(
			ContainSubstring("what is added to pod %q asks", pod.Name),
			HavePrefix("policy "+p.Name+": privileged: spec.ephemeralContainers[0].securityContext.privileged is true"),
		))
		Expect(add(debugger("plain", false))).To(Succeed())

		By("one that is there already not being held against the next")
		Expect(admin.Delete(ctx, p)).To(Succeed())
		Eventually(add).WithArguments(debugger("root", true)).Should(Succeed())
		serve(ctx, policyFor(n, v1alpha1.Deny))
		Expect(add(debugger("another", false))).To(Succeed())
		Expect(apierrors.IsForbidden(add(debugger("last", true)))).To(BeTrue())
	})
})

var _ = Describe("The mirror of a static pod", func() {
	mirror := func(n *corev1.Namespace) *corev1.Pod {
		return podIn(n, hostPID, func(p *corev1.Pod) {
			p.Spec.NodeName = "n1"
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "0123"}
		})
	}
	var n *corev1.Namespace
	var p *v1alpha1.IsolationPolicy
	BeforeEach(func(ctx context.Context) {
		n = namespace(ctx)
		p = serve(ctx, policyFor(n, v1alpha1.Deny))
		// The API server's node authorizer, which grants this elsewhere, does not run here.
		role := &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "nodes", Namespace: n.Name},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}}},
		}
		Expect(admin.Create(ctx, role)).To(Succeed())
		Expect(admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "nodes", Namespace: n.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:nodes"}},
		})).To(Succeed())
		node, _ := listening(server.As("system:node:n1", "system:nodes", "system:authenticated"))
		Eventually(func() error { return node.Create(ctx, podIn(n), client.DryRunAll) }).Should(Succeed())
	})

	It("is admitted, and flagged, if its node creates it", func(ctx context.Context) {
		node, warnings := listening(server.As("system:node:n1", "system:nodes", "system:authenticated"))
		Expect(node.Create(ctx, mirror(n))).To(Succeed())
		Expect(warnings()).To(ConsistOf(HavePrefix("bulkhead: mirror pod of node n1, whose static pod runs anyway: policy " + p.Name + ": pid")))
		Eventually(os.ReadFile).WithArguments(auditLog).Should(And(
			ContainSubstring(`"pods.bulkhead.dev/mirror-pod":"n1"`),
			ContainSubstring(`"pods.bulkhead.dev/violations":"policy `+p.Name+`: pid`)))
	})

	It("is refused if anybody else creates it", func(ctx context.Context) {
		Expect(apierrors.IsForbidden(admin.Create(ctx, mirror(n)))).To(BeTrue())
		other, _ := listening(server.As("system:node:n2", "system:nodes", "system:authenticated"))
		err := other.Create(ctx, mirror(n))
		Expect(err).To(MatchError(ContainSubstring("policy " + p.Name + ": pid")))
	})
})
