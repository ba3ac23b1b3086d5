// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func secretNow(ctx context.Context) *corev1.Secret {
	GinkgoHelper()
	s := &corev1.Secret{}
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: v1alpha1.WebhookSecretName}, s)).To(Succeed())
	return s
}

// caller speaks with a replica as the API server does.
func caller(authorities []byte, keepAlive bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: !keepAlive}}
}

// review asks a replica about a pod.
func review(c *http.Client, r replica, p *corev1.Pod) (*admissionv1.AdmissionResponse, *http.Response, error) {
	p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	object, err := json.Marshal(p)
	if err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Operation: admissionv1.Create, Namespace: p.Namespace, Object: runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.Post("https://"+r.webhook+v1alpha1.PodWebhookPath+"?timeout=5s", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, resp, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, resp, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &out); err != nil || out.Response == nil {
		return nil, resp, fmt.Errorf("no AdmissionReview: %w: %s", err, answer)
	}
	return out.Response, resp, nil
}

var _ = Describe("Serving", func() {
	It("loses no review while the certificate is rotated under load", func(ctx context.Context) {
		n := namespace(ctx)
		serve(ctx, policyFor(n, v1alpha1.Deny))
		authorities := secretNow(ctx).Data["ca.crt"]
		var passed, lost atomic.Int64
		var clients sync.WaitGroup
		done := make(chan struct{})
		load := func(call func() error) {
			clients.Go(func() {
				defer GinkgoRecover()
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := call(); err != nil {
						lost.Add(1)
						GinkgoWriter.Println(err)
					}
					passed.Add(1)
				}
			})
		}
		for i := range 4 {
			load(func() error { return admin.Create(ctx, podIn(n), client.DryRunAll) })
			load(func() error {
				err := admin.Create(ctx, podIn(n, hostPID), client.DryRunAll)
				if apierrors.IsForbidden(err) {
					return nil
				}
				return fmt.Errorf("a pod that violates was not refused: %w", err)
			})
			// These shake hands for every call.
			load(func() error {
				c := caller(authorities, false)
				_, _, err := review(c, replicas[i%2], podIn(n))
				return err
			})
		}
		for range 4 {
			before := passed.Load()
			Eventually(passed.Load).Should(BeNumerically(">", before+60))
			old := secretNow(ctx)
			Expect(admin.Patch(ctx, old, client.RawPatch(types.MergePatchType, []byte(`{"data":{"tls.crt":null}}`)))).To(Succeed())
			for _, r := range replicas {
				Eventually(func() (bool, error) {
					conn, err := tls.Dial("tcp", r.webhook, &tls.Config{InsecureSkipVerify: true})
					if err != nil {
						return false, err
					}
					defer func() { _ = conn.Close() }()
					return bytes.Contains(old.Data["tls.crt"], conn.ConnectionState().PeerCertificates[0].Raw), nil
				}).Should(BeFalse())
			}
		}
		before := passed.Load()
		Eventually(passed.Load).Should(BeNumerically(">", before+60))
		close(done)
		clients.Wait()
		Expect(lost.Load()).To(BeZero(), "of %d", passed.Load())
		Expect(secretNow(ctx).Data["ca.crt"]).To(Equal(authorities))
	})

	It("goes on for a while after a replica was asked to end, and is no longer ready", func(ctx context.Context) {
		n := namespace(ctx)
		p := policyFor(n, v1alpha1.Deny)
		serve(ctx, p)
		asked, end := context.WithCancel(context.Background())
		DeferCleanup(end)
		over, finish := context.WithCancel(context.Background())
		DeferCleanup(finish)
		r := startEnding(asked, over, "bulkhead-manager-ending")
		Eventually(r.ready).Should(Succeed())
		Eventually(r.served).WithContext(ctx).Should(HaveKey(p.UID))
		c := caller(secretNow(ctx).Data["ca.crt"], true)
		answered := func(g Gomega) *http.Response {
			a, resp, err := review(c, r, podIn(n, hostPID))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(a.Allowed).To(BeFalse())
			return resp
		}
		Expect(answered(Default).Close).To(BeFalse())

		end()
		Eventually(r.ready).Should(MatchError(ContainSubstring("500")))
		Expect(answered(Default).Close).To(BeTrue(), "the next call is to go to another replica")
		By("judging by the policies of that moment")
		p.Spec.Admission.Action = v1alpha1.Warn
		Expect(admin.Update(ctx, p)).To(Succeed())
		Eventually(func(g Gomega) bool {
			a, _, err := review(c, r, podIn(n, hostPID))
			g.Expect(err).NotTo(HaveOccurred())
			return a.Allowed
		}).Should(BeTrue())
		By("until the time is over")
		finish()
		Eventually(func() error {
			_, _, err := review(c, r, podIn(n))
			return err
		}).Should(HaveOccurred())
	})

	It("fails a call that it cannot answer, which refuses where the webhook configuration says so, with the reason, and nowhere else", func(ctx context.Context) {
		for policy, refuses := range map[admissionregistrationv1.FailurePolicyType]bool{admissionregistrationv1.Fail: true, admissionregistrationv1.Ignore: false} {
			n := namespace(ctx)
			wrong := &admissionregistrationv1.ValidatingWebhookConfiguration{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "wrong-"},
				Webhooks: []admissionregistrationv1.ValidatingWebhook{{
					Name: "wrong.bulkhead.dev",
					ClientConfig: admissionregistrationv1.WebhookClientConfig{
						URL: ptr.To("https://" + replicas[0].webhook + v1alpha1.PodWebhookPath), CABundle: secretNow(ctx).Data["ca.crt"],
					},
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: n.Name}},
					Rules: []admissionregistrationv1.RuleWithOperations{{
						Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
						Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}},
					}},
					FailurePolicy: ptr.To(policy), SideEffects: ptr.To(admissionregistrationv1.SideEffectClassNone),
					AdmissionReviewVersions: []string{"v1"},
				}},
			}
			Expect(admin.Create(ctx, wrong)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { Expect(admin.Delete(ctx, wrong)).To(Succeed()) })
			create := func() error {
				return admin.Create(ctx, &corev1.Service{
					ObjectMeta: metav1.ObjectMeta{GenerateName: "s-", Namespace: n.Name},
					Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
				}, client.DryRunAll)
			}
			if refuses {
				Eventually(create).Should(MatchError(And(ContainSubstring("failed calling webhook"), ContainSubstring("bulkhead: asked to judge CREATE of"), ContainSubstring("put right the rules of the webhook configuration"))))
			} else {
				Consistently(create).Should(Succeed())
			}
		}
	})

	It("counts reviews by policy, and tells when the certificate ends", func(ctx context.Context) {
		n := namespace(ctx)
		p := serve(ctx, policyFor(n, v1alpha1.Deny))
		Expect(admin.Create(ctx, podIn(n, hostPID))).NotTo(Succeed())
		Expect(counted(p.Name)).To(BeEquivalentTo(1))
		Expect(gauge("bulkhead_admission_certificate_expiration_timestamp_seconds")).To(BeNumerically(">", 1.7e9))
		Expect(admin.Delete(ctx, p)).To(Succeed())
		Eventually(counted).WithArguments(p.Name).Should(BeZero())
	})
})

// counted is how many pods the policy denied, as both replicas count in one process.
func counted(policy string) (n float64) {
	GinkgoHelper()
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, f := range families {
		if f.GetName() != "bulkhead_admission_policy_verdicts_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "policy" && l.GetValue() == policy {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

func gauge(name string) float64 {
	GinkgoHelper()
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return 0
}
