// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Whoever applies a policy", func() {
	ownedBy := func(kind, name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: "0123", Controller: ptr.To(true)}}
		}
	}

	It("is told which pods violate it, by their owners, and on a change which do so newly", func(ctx context.Context) {
		n := namespace(ctx)
		hash := func(p *corev1.Pod) { p.Labels = map[string]string{"pod-template-hash": "7d4b9c6f5d"} }
		for range 3 {
			Expect(admin.Create(ctx, podIn(n, hostPID, hash, ownedBy("ReplicaSet", "web-7d4b9c6f5d")))).To(Succeed())
		}
		Expect(admin.Create(ctx, podIn(n, hostNetwork, ownedBy("DaemonSet", "net")))).To(Succeed())
		Expect(admin.Create(ctx, podIn(n, ownedBy("DaemonSet", "fine")))).To(Succeed())

		p := policyFor(n, v1alpha1.Deny)
		p.Spec.Isolation, p.Spec.Portals = &v1alpha1.Isolation{PID: "Container"}, nil
		// The cache of the replica that is asked follows in a moment.
		Eventually(func(g Gomega) []string {
			c, warnings := listening(server.Config)
			dry := p.DeepCopy()
			g.Expect(c.Create(ctx, dry, client.DryRunAll)).To(Succeed())
			return warnings()
		}).Should(HaveExactElements(
			"bulkhead: 3 pods of 1 owner violate this policy; they are not touched, and would be refused if they were created again:",
			fmt.Sprintf("bulkhead: Deployment %s/web (3 pods): pid: spec.hostPID is true and claims Host, Container is required: remove it or set it to false", n.Name),
		))
		serve(ctx, p)

		c, warnings := listening(server.Config)
		p.Spec.Isolation.Network = "Pod"
		Expect(c.Update(ctx, p)).To(Succeed())
		Expect(warnings()).To(HaveExactElements(
			"bulkhead: 1 pod of 1 owner violate this policy; they are not touched, and would be refused if they were created again:",
			HavePrefix("bulkhead: DaemonSet %s/net (1 pod): network: spec.hostNetwork is true", n.Name),
		))

		By("and of nothing when it is loosened, or only labelled")
		c, warnings = listening(server.Config)
		p.Spec.Isolation.Network = ""
		Expect(c.Update(ctx, p)).To(Succeed())
		p.Labels = map[string]string{"seen": "yes"}
		Expect(c.Update(ctx, p)).To(Succeed())
		Expect(warnings()).To(BeEmpty())
	})
})
