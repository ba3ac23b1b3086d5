// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var _ = Describe("Exemptions", func() {
	It("are in use, unused or expired, and one that expires is told of once, when it does", func(ctx context.Context) {
		namespace, a := aNamespace(ctx), anAgent(ctx)
		end := metav1.NewTime(time.Now().Add(8 * time.Second))
		exemption := func(name string, namespace string, expires *metav1.Time) v1alpha1.Exemption {
			return v1alpha1.Exemption{
				Name: name, Reason: "r", Namespaces: []string{namespace}, Isolation: &v1alpha1.Isolation{PID: "Host"}, Expires: expires,
			}
		}
		asks := running(ctx, namespace, "asks", a.node, time.Hour, onHost)
		has := running(ctx, namespace, "has", a.node, time.Hour)
		a.sees(ctx, at(onHostPID(), asks, has))
		start()
		p := aPolicy(ctx, namespace, func(p *v1alpha1.IsolationPolicy) {
			p.Spec.Exemptions = []v1alpha1.Exemption{exemption("used", namespace, &end), exemption("unused", "elsewhere", nil)}
		})
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 2, Exempt: 2}),
			HaveField("Exemptions", Equal([]v1alpha1.ExemptionStatus{
				{Name: "used", State: v1alpha1.ExemptionInUse, Pods: 2}, {Name: "unused", State: v1alpha1.ExemptionUnused},
			}))))
		Expect(cluster.Delete(ctx, has, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(statusOf(ctx, p)).WithTimeout(8*time.Second + soon).Should(SatisfyAll(
			counts(v1alpha1.PodCounts{Matched: 1, Exempt: 1}),
			HaveField("Exemptions", Equal([]v1alpha1.ExemptionStatus{
				{Name: "used", State: v1alpha1.ExemptionExpired, Pods: 1}, {Name: "unused", State: v1alpha1.ExemptionUnused},
			}))))
		expiries := func() ([]eventsv1.Event, error) {
			var list eventsv1.EventList
			err := cluster.List(ctx, &list)
			var out []eventsv1.Event
			for _, e := range list.Items {
				if e.Reason == "ExemptionExpired" && e.Regarding.UID == p.UID {
					out = append(out, e)
				}
			}
			return out, err
		}
		once := ConsistOf(SatisfyAll(HaveField("Note", ContainSubstring("exemption used has expired")), HaveField("Series", BeNil())))
		Eventually(expiries).WithTimeout(soon).Should(once)

		late := running(ctx, namespace, "late", a.node, 0, onHost)
		a.sees(ctx, at(onHostPID(), asks, late))
		Eventually(statusOf(ctx, p)).WithTimeout(soon).Should(counts(v1alpha1.PodCounts{Matched: 2, Exempt: 1, Breached: 1}))
		Expect(expiries()).To(once)
	})
})

var _ = Describe("A policy that matches no pod", func() {
	It("shows zeros, before and after it matched one", func(ctx context.Context) {
		namespace := aNamespace(ctx)
		p := aPolicy(ctx, namespace)
		start()
		// As kubectl sees it: what is not there is shown as a blank.
		shown := func() map[string]any {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("IsolationPolicy"))
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), u)).To(Succeed())
			counts, _, err := unstructured.NestedMap(u.Object, "status", "pods")
			Expect(err).NotTo(HaveOccurred())
			return counts
		}
		zeros := map[string]any{
			"matched": int64(0), "exempt": int64(0), "breached": int64(0), "violating": int64(0), "unverified": int64(0), "compliant": int64(0),
			"notApplicable": int64(0),
		}
		Eventually(shown).WithTimeout(soon).Should(Equal(zeros))
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		}
		create(ctx, pod)
		Eventually(shown).WithTimeout(soon).Should(SatisfyAll(HaveKeyWithValue("matched", int64(1)), HaveKeyWithValue("breached", int64(0))))
		Expect(cluster.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(shown).WithTimeout(soon).Should(Equal(zeros))
	})
})
