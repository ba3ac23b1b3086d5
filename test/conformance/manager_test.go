// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

const soon = time.Minute

// enforce stores the policies and waits until each says that it is enforced.
func (s *server) enforce(ctx context.Context, t *testing.T, all []*v1alpha1.IsolationPolicy) {
	t.Helper()
	g := NewWithT(t)
	for _, p := range all {
		// The webhook that checks policies may be asked a moment before it is reached.
		g.Eventually(func() error { return s.Client.Create(ctx, p) }).WithTimeout(soon).Should(Succeed())
	}
	for _, p := range all {
		g.Eventually(func(g Gomega) {
			g.Expect(s.Client.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
			g.Expect(p.Status.ObservedGeneration).To(Equal(p.Generation))
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionEnforced)
			g.Expect(c).To(HaveValue(HaveField("Status", metav1.ConditionTrue)))
		}).WithTimeout(soon).Should(Succeed())
	}
}
