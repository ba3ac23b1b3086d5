// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

type (
	compiled = admissionregistrationv1.ValidatingAdmissionPolicy
	binding  = admissionregistrationv1.ValidatingAdmissionPolicyBinding
)

// ready waits until a manager serves, and puts it behind the webhook's Service.
func ready(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func() error {
		return cluster.Get(ctx, client.ObjectKey{Namespace: installed, Name: v1alpha1.WebhookLeasePrefix + name}, &coordinationv1.Lease{})
	}).Should(Succeed())
	endpoints(ctx, name)
	// The API server is told when the certificate is made.
	Eventually(entries(ctx)).Should(ContainElement("policies.bulkhead.dev"))
	trial := aPolicy(webhook)
	Eventually(func() error { return cluster.Create(ctx, trial, client.DryRunAll) }).Should(Succeed())
}

// endpoints are what is ready behind the webhook's Service.
func endpoints(ctx context.Context, names ...string) {
	GinkgoHelper()
	Expect(server.BehindWebhook(ctx, names...)).To(Succeed())
}

const (
	webhook  = v1alpha1.EngineWebhook
	compiler = v1alpha1.EngineValidatingAdmissionPolicy
)

// aPolicy is a Deny policy that demands pid Container, for namespaces with a label.
func aPolicy(engine v1alpha1.AdmissionEngine, namespaces ...string) *v1alpha1.IsolationPolicy {
	return &v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "policy-"},
		Spec: v1alpha1.IsolationPolicySpec{
			Match: &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: append([]string{"none"}, namespaces...)},
			}}},
			Isolation: &v1alpha1.Isolation{PID: "Container"},
			Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny, Engine: engine},
		},
	}
}

// create creates an object that goes when the spec ends.
func create[T client.Object](ctx context.Context, o T) T {
	GinkgoHelper()
	Eventually(func() error { return cluster.Create(ctx, o) }).Should(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(cluster.Delete(ctx, o))).To(Succeed())
	})
	return o
}

func aNamespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	Expect(cluster.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

// edit changes a policy, whoever else writes to it.
func edit(ctx context.Context, p *v1alpha1.IsolationPolicy, change func()) {
	GinkgoHelper()
	Eventually(func() error {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		change()
		return cluster.Update(ctx, p)
	}).Should(Succeed())
}

// enforced reads the condition Enforced of a policy, at its generation.
func enforced(ctx context.Context, p *v1alpha1.IsolationPolicy) func() (metav1.Condition, error) {
	return func() (metav1.Condition, error) {
		var got v1alpha1.IsolationPolicy
		err := cluster.Get(ctx, client.ObjectKeyFromObject(p), &got)
		c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionEnforced)
		if err != nil || c == nil || c.ObservedGeneration != p.Generation {
			return metav1.Condition{}, err
		}
		return *c, nil
	}
}

func is(status metav1.ConditionStatus, reason string, message gomegatypes.GomegaMatcher) gomegatypes.GomegaMatcher {
	return SatisfyAll(HaveField("Status", status), HaveField("Reason", reason), HaveField("Message", message))
}

// entries are the names of the webhook configuration's entries.
func entries(ctx context.Context) func() ([]string, error) {
	return func() ([]string, error) {
		var c configuration
		err := cluster.Get(ctx, client.ObjectKey{Name: v1alpha1.WebhookConfigurationName}, &c)
		out := []string{}
		for _, w := range c.Webhooks {
			out = append(out, w.Name)
		}
		return out, client.IgnoreNotFound(err)
	}
}

// asked and notAsked: the webhook about pods that a policy denies.
var (
	asked    = ContainElement(HavePrefix("deny-"))
	notAsked = SatisfyAll(ContainElement("policies.bulkhead.dev"), Not(asked))
)

// madeOf is what a policy was compiled to; nil what does not stand.
func madeOf(ctx context.Context, p *v1alpha1.IsolationPolicy) (*compiled, *binding) {
	GinkgoHelper()
	key := client.ObjectKey{Name: "bulkhead-" + p.Name + "-" + string(p.UID)}
	c, b := &compiled{}, &binding{}
	if err := cluster.Get(ctx, key, c); err != nil {
		Expect(client.IgnoreNotFound(err)).To(Succeed())
		c = nil
	}
	if err := cluster.Get(ctx, key, b); err != nil {
		Expect(client.IgnoreNotFound(err)).To(Succeed())
		b = nil
	}
	return c, b
}

// stands tells what of it stands.
func stands(ctx context.Context, p *v1alpha1.IsolationPolicy) func() string {
	return func() string {
		c, b := madeOf(ctx, p)
		switch {
		case c != nil && b != nil:
			return "both"
		case c != nil:
			return "policy"
		case b != nil:
			return "binding"
		default:
			return "nothing"
		}
	}
}

// checked does what kube-controller-manager does: it says that it has checked the types.
func checked(ctx context.Context, p *v1alpha1.IsolationPolicy, warnings ...admissionregistrationv1.ExpressionWarning) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		c, b := madeOf(ctx, p)
		g.Expect(c).NotTo(BeNil())
		g.Expect(b).NotTo(BeNil())
		c.Status.ObservedGeneration = c.Generation
		c.Status.TypeChecking = &admissionregistrationv1.TypeChecking{ExpressionWarnings: warnings}
		g.Expect(cluster.Status().Update(ctx, c)).To(Succeed())
	}).Should(Succeed())
}

// aPod is a pod that violates aPolicy, or not.
func aPod(namespace string, hostPID bool) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "pod-"},
		Spec:       corev1.PodSpec{HostPID: hostPID, Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
}

func try(ctx context.Context, namespace string, hostPID bool) error {
	return cluster.Create(ctx, aPod(namespace, hostPID), client.DryRunAll)
}

// prober asks the API server without pause for a pod that violates.
type prober struct {
	stop func()
	// refused are those that a policy forbade, failed those that nobody judged, while the one replica
	// restarts.
	refused, admitted, failed atomic.Int64
}

// probe begins once the first pod has been refused.
func probe(ctx context.Context, namespace string) *prober {
	GinkgoHelper()
	Eventually(func() error { return try(ctx, namespace, true) }).Should(Satisfy(apierrors.IsForbidden))
	p := &prober{}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for ctx.Err() == nil {
				switch err := try(ctx, namespace, true); {
				case err == nil:
					p.admitted.Add(1)
				case apierrors.IsForbidden(err):
					p.refused.Add(1)
				case ctx.Err() == nil:
					p.failed.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	p.stop = func() { cancel(); wait.Wait() }
	DeferCleanup(p.stop)
	return p
}

// neverAdmitted ends the probing.
func (p *prober) neverAdmitted() {
	GinkgoHelper()
	p.stop()
	GinkgoWriter.Printf("%d refused, %d admitted, %d not judged\n", p.refused.Load(), p.admitted.Load(), p.failed.Load())
	Expect(p.refused.Load()).To(BeNumerically(">", 50), "the prober must have had something to say")
	Expect(p.admitted.Load()).To(BeZero())
}

// on waits for some more answers, so that what happens now is seen as well.
func (p *prober) on() {
	GinkgoHelper()
	at := p.refused.Load()
	Eventually(p.refused.Load).Should(BeNumerically(">", at+50))
}
