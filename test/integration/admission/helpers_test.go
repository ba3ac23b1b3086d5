// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// configureWebhooks tells the API server what to ask the first replica, by URL: there is no
// network for a Service here.
func configureWebhooks(ctx context.Context) {
	GinkgoHelper()
	var secret corev1.Secret
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: v1alpha1.WebhookSecretName}, &secret)).To(Succeed())
	entry := func(name, path string, selector *metav1.LabelSelector, rules ...admissionregistrationv1.RuleWithOperations) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{
			Name: name, Rules: rules, NamespaceSelector: selector,
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://" + replicas[0].webhook + path), CABundle: secret.Data["ca.crt"]},
			FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}
	}
	rule := func(group, version, resource string, operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
		return admissionregistrationv1.RuleWithOperations{Operations: operations, Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{resource},
		}}
	}
	others := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{v1alpha1.InstallNamespace, "kube-system"},
	}}}
	applied := []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update}
	templates := entry("templates.bulkhead.dev", v1alpha1.TemplateWebhookPath, others,
		rule("apps", "v1", "deployments", applied...), rule("apps", "v1", "replicasets", applied...),
		rule("apps", "v1", "statefulsets", applied...), rule("apps", "v1", "daemonsets", applied...),
		rule("batch", "v1", "jobs", applied...), rule("batch", "v1", "cronjobs", applied...),
		rule("", "v1", "replicationcontrollers", applied...), rule("", "v1", "podtemplates", applied...))
	templates.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	Expect(admin.Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{
			entry("pods.bulkhead.dev", v1alpha1.PodWebhookPath, others,
				rule("", "v1", "pods", admissionregistrationv1.Create),
				rule("", "v1", "pods/ephemeralcontainers", admissionregistrationv1.Update)),
			entry("policies.bulkhead.dev", v1alpha1.PolicyWebhookPath, nil,
				rule(v1alpha1.Group, "*", "isolationpolicies", applied...)),
			templates,
		},
	})).To(Succeed())
	// The API server takes a moment to ask: it warns of the selector once it does.
	Eventually(func() ([]string, error) {
		c, warnings := listening(server.Config)
		probe := policyFor(&corev1.Namespace{}, v1alpha1.Audit)
		probe.Spec.Match = &v1alpha1.PolicyMatch{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "probe"}}}
		err := c.Create(ctx, probe, client.DryRunAll)
		return warnings(), err
	}).ShouldNot(BeEmpty())
}

// listening is a client, and the warnings that it has received.
func listening(c *rest.Config) (client.Client, func() []string) {
	GinkgoHelper()
	c = rest.CopyConfig(c)
	h := &recorder{}
	c.WarningHandler = h
	out, err := client.New(c, client.Options{Scheme: admin.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return out, h.all
}

type recorder struct {
	lock sync.Mutex
	seen []string
}

func (r *recorder) HandleWarningHeader(_ int, _, text string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.seen = append(r.seen, text)
}

func (r *recorder) all() []string {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.seen
}

// namespace is a new one, which no policy of another test matches.
func namespace(ctx context.Context) *corev1.Namespace {
	GinkgoHelper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	Expect(admin.Create(ctx, n)).To(Succeed())
	return n
}

// policyFor matches that namespace, and demands everything that a spec can give up.
func policyFor(n *corev1.Namespace, action v1alpha1.AdmissionAction) *v1alpha1.IsolationPolicy {
	return &v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: strings.ToLower(string(action)) + "-"},
		Spec: v1alpha1.IsolationPolicySpec{
			Match: &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: n.Name},
			}},
			Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod"},
			Portals:   &v1alpha1.Portals{Privileged: v1alpha1.PortalForbid, HostPaths: &v1alpha1.HostPathsPortal{}},
			Admission: v1alpha1.AdmissionSpec{Action: action},
		},
	}
}

// serve stores a policy and waits until both replicas say that they judge by it.
func serve(ctx context.Context, p *v1alpha1.IsolationPolicy) *v1alpha1.IsolationPolicy {
	GinkgoHelper()
	Expect(admin.Create(ctx, p)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(admin.Delete(ctx, p))).To(Succeed())
	})
	eventuallyServed(ctx, p)
	return p
}

func eventuallyServed(ctx context.Context, p *v1alpha1.IsolationPolicy) {
	GinkgoHelper()
	for _, r := range replicas {
		Eventually(r.served).WithContext(ctx).Should(HaveKeyWithValue(p.UID, p.Generation))
	}
}

func (r replica) lease(ctx context.Context) (*coordinationv1.Lease, error) {
	l := &coordinationv1.Lease{}
	return l, admin.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: v1alpha1.WebhookLeasePrefix + r.name}, l)
}

// served is what the replica says on its Lease.
func (r replica) served(ctx context.Context) (v1alpha1.Served, error) {
	l, err := r.lease(ctx)
	if err != nil {
		return nil, err
	}
	return v1alpha1.ParseServed(l.Annotations[v1alpha1.AnnotationServed])
}

func podIn(n *corev1.Namespace, edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "web-", Namespace: n.Name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func hostPID(p *corev1.Pod)     { p.Spec.HostPID = true }
func hostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

// debugger adds an ephemeral container, as kubectl debug does.
func debugger(name string, privileged bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: name, Image: "busybox", SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
				ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			},
		})
	}
}
