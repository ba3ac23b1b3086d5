// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// entries are the names of the configuration's entries, with the random parts left out.
func entries(ctx context.Context) func() ([]string, error) {
	return func() ([]string, error) {
		c, err := configuration(ctx)
		out := []string{}
		for _, w := range c.Webhooks {
			kind, _, _ := strings.Cut(w.Name, "-")
			out = append(out, kind+" "+string(*w.FailurePolicy))
		}
		return out, err
	}
}

func configuration(ctx context.Context) (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	return c, cluster.Get(ctx, client.ObjectKey{Name: v1alpha1.WebhookConfigurationName}, c)
}

const (
	policies  = "policies.bulkhead.dev Fail"
	templates = "templates.bulkhead.dev Ignore"
	deny      = "deny Fail"
	flag      = "flag Ignore"
)

func action(a v1alpha1.AdmissionAction) func(*v1alpha1.IsolationPolicy) {
	return func(p *v1alpha1.IsolationPolicy) { p.Spec.Admission.Action = a }
}

// authority is the certificate of an authority.
func authority() []byte {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

var _ = Describe("The webhook configuration", func() {
	It("is not there before the certificate is, and then follows the policies", func(ctx context.Context) {
		shared, lab := aNamespace(ctx), aNamespace(ctx)
		tenants := aPolicy(ctx, shared)
		aPolicy(ctx, shared)
		aPolicy(ctx, shared, action(v1alpha1.Warn))
		trial := aPolicy(ctx, lab, action(v1alpha1.Audit))
		start()
		Eventually(statusOf(ctx, tenants)).WithTimeout(soon).Should(condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted))
		Consistently(func() bool { _, err := configuration(ctx); return apierrors.IsNotFound(err) }).WithTimeout(while).Should(BeTrue())

		ca := authority()
		certify(ctx, ca)
		Eventually(entries(ctx)).WithTimeout(soon).Should(ConsistOf(policies, templates, deny, flag))
		c, err := configuration(ctx)
		Expect(err).NotTo(HaveOccurred())
		for _, w := range c.Webhooks {
			Expect(w.ClientConfig.CABundle).To(Equal(ca))
			if !strings.HasPrefix(w.Name, "policies.") {
				Expect(w.NamespaceSelector.MatchExpressions).To(ConsistOf(metav1.LabelSelectorRequirement{
					Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{installed, "kube-system", "legacy"},
				}))
			}
		}
		Consistently(func() (string, error) { c, err := configuration(ctx); return c.ResourceVersion, err }).
			WithTimeout(while).Should(Equal(c.ResourceVersion), "what the API server fills in is no difference")

		Expect(cluster.Delete(ctx, trial)).To(Succeed())
		Eventually(entries(ctx)).WithTimeout(soon).Should(ConsistOf(policies, templates, deny))
		other := authority()
		certify(ctx, append(ca, other...))
		Eventually(func(g Gomega) {
			c, err := configuration(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(c.Webhooks).To(HaveEach(HaveField("ClientConfig.CABundle", append(ca, other...))))
		}).WithTimeout(soon).Should(Succeed())
	})

	It("is restored when it is deleted, and repaired when it is edited, without what others put there", func(ctx context.Context) {
		aPolicy(ctx, aNamespace(ctx))
		certify(ctx, authority())
		start()
		Eventually(entries(ctx)).WithTimeout(soon).Should(ConsistOf(policies, templates, deny))
		c, err := configuration(ctx)
		Expect(err).NotTo(HaveOccurred())
		asItWas := c.Webhooks
		Expect(cluster.Delete(ctx, c)).To(Succeed())
		Eventually(entries(ctx)).WithTimeout(soon).Should(ConsistOf(policies, templates, deny))

		for _, vandal := range []func(*admissionregistrationv1.ValidatingWebhookConfiguration){
			func(c *admissionregistrationv1.ValidatingWebhookConfiguration) { c.Webhooks = nil },
			func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
				for i := range c.Webhooks {
					c.Webhooks[i].FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
				}
			},
			func(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
				for i := range c.Webhooks {
					c.Webhooks[i].MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "never", Expression: "false"}}
				}
			},
		} {
			c, err := configuration(ctx)
			Expect(err).NotTo(HaveOccurred())
			vandal(c)
			c.Labels["theirs"], c.Annotations = "stays", map[string]string{"theirs": "stays"}
			Expect(cluster.Update(ctx, c)).To(Succeed())
			Eventually(func(g Gomega) {
				c, err := configuration(ctx)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(c.Webhooks).To(Equal(asItWas))
				g.Expect(c.Labels).To(HaveKeyWithValue("theirs", "stays"))
				g.Expect(c.Annotations).To(HaveKeyWithValue("theirs", "stays"))
			}).WithTimeout(soon).Should(Succeed())
		}
	})

	It("stays as it is when the certificate is gone, whatever becomes of the policies", func(ctx context.Context) {
		p := aPolicy(ctx, aNamespace(ctx))
		certify(ctx, authority())
		start()
		Eventually(entries(ctx)).WithTimeout(soon).Should(ConsistOf(policies, templates, deny))
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: v1alpha1.WebhookSecretName}}
		Expect(cluster.Delete(ctx, secret)).To(Succeed())
		Expect(cluster.Delete(ctx, p)).To(Succeed())
		Consistently(entries(ctx)).WithTimeout(while).Should(ConsistOf(policies, templates, deny))
	})

	It("makes the API server ask about pods and their debug containers, and about nothing else", func(ctx context.Context) {
		const debugImage = "debug"
		shared, free := aNamespace(ctx), aNamespace(ctx)
		legacy := create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "legacy", Labels: map[string]string{"tenancy": shared}}})
		aPolicy(ctx, shared, func(p *v1alpha1.IsolationPolicy) {
			p.Spec.Match.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		})
		before := aPolicy(ctx, free, action(v1alpha1.Warn))
		web := func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }
		debug := func(p *corev1.Pod) {
			GinkgoHelper()
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{
				EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: debugImage, Image: debugImage, TerminationMessagePolicy: "File", ImagePullPolicy: "IfNotPresent"},
			})
			Expect(cluster.SubResource("ephemeralcontainers").Update(ctx, p)).To(Succeed())
		}
		asked := standIn(ctx)

		pod := running(ctx, shared, "web", "", 0, web)
		Eventually(asked).WithTimeout(soon).Should(ConsistOf("CREATE pods " + shared + "/web"))
		pod.Annotations = map[string]string{"a": "b"}
		Expect(cluster.Update(ctx, pod)).To(Succeed())
		debug(pod)
		Eventually(asked).WithTimeout(soon).Should(ConsistOf("CREATE pods "+shared+"/web", "UPDATE pods/ephemeralcontainers "+shared+"/web"))

		labelled := before.DeepCopy()
		labelled.Labels = map[string]string{"theirs": "stays"}
		Expect(cluster.Patch(ctx, labelled, client.MergeFrom(before))).To(Succeed())
		debug(running(ctx, shared, "other", "", 0))
		debug(running(ctx, legacy.Name, "web", "", 0, web))
		edit(ctx, before, func() { before.Spec.Isolation.IPC = "Pod" })
		Expect(cluster.Delete(ctx, before)).To(Succeed())
		Expect(asked()).To(ConsistOf("CREATE pods "+shared+"/web", "UPDATE pods/ephemeralcontainers "+shared+"/web",
			"UPDATE isolationpolicies /"+before.Name))
	})
})

var _ = Describe("The entry about workloads", func() {
	It("makes the API server ask when a template changes that no controller made, and at no other time", func(ctx context.Context) {
		namespace := aNamespace(ctx)
		aPolicy(ctx, namespace)
		aPolicy(ctx, namespace+"-other", action(v1alpha1.Warn))
		asked := standIn(ctx)
		template := corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
			Spec:       corev1.PodSpec{RestartPolicy: "Always", Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		}
		selector := &metav1.LabelSelector{MatchLabels: template.Labels}
		meta := metav1.ObjectMeta{Namespace: namespace, Name: "web"}
		once := template.DeepCopy()
		once.Spec.RestartPolicy = "Never"
		deployment := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}
		cronjob := &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			Schedule: "@daily", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: *once}},
		}}
		podTemplate := &corev1.PodTemplate{ObjectMeta: meta, Template: template}
		for _, o := range []client.Object{
			deployment, cronjob, podTemplate,
			&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}},
			&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template, ServiceName: "web"}},
			&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
			&batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: *once}},
			&corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Selector: template.Labels, Template: &template}},
		} {
			create(ctx, o)
		}
		about := func(operation string, resources ...string) []string {
			for i, r := range resources {
				resources[i] = operation + " " + r + " " + namespace + "/web"
			}
			return resources
		}
		expected := about("CREATE", "deployments", "cronjobs", "podtemplates", "replicasets", "statefulsets", "daemonsets", "jobs", "replicationcontrollers")
		Eventually(asked).WithTimeout(soon).Should(ConsistOf(expected))

		made := &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}}
		made.Name, made.OwnerReferences = "web-1", []metav1.OwnerReference{*metav1.NewControllerRef(deployment, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
		create(ctx, made)
		mine := &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}}
		mine.Name, mine.OwnerReferences = "web-2", []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "c"}}
		create(ctx, mine)
		deployment.Labels = map[string]string{"a": "b"}
		deployment.Spec.Replicas = ptr.To[int32](3)
		Expect(cluster.Update(ctx, deployment)).To(Succeed())
		cronjob.Spec.Suspend = ptr.To(true)
		Expect(cluster.Update(ctx, cronjob)).To(Succeed())
		Expect(asked()).To(ConsistOf(append(expected, "CREATE replicasets "+namespace+"/web-2")))

		deployment.Spec.Template.Spec.HostPID = true
		Expect(cluster.Update(ctx, deployment)).To(Succeed())
		cronjob.Spec.JobTemplate.Spec.Template.Spec.HostPID = true
		Expect(cluster.Update(ctx, cronjob)).To(Succeed())
		podTemplate.Template.Spec.HostPID = true
		Expect(cluster.Update(ctx, podTemplate)).To(Succeed())
		Expect(asked()).To(ConsistOf(append(append(expected, "CREATE replicasets "+namespace+"/web-2"),
			about("UPDATE", "deployments", "cronjobs", "podtemplates")...)))
	})
})

// standIn puts a server that admits everything in the place of the webhook, under the rules and
// selectors that the controller has written, and tells what it was asked about.
func standIn(ctx context.Context) (asked func() []string) {
	GinkgoHelper()
	var mu sync.Mutex
	var log []string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		q := review.Request
		mu.Lock()
		log = append(log, strings.TrimSuffix(string(q.Operation)+" "+q.Resource.Resource+"/"+q.SubResource, "/")+" "+q.Namespace+"/"+q.Name)
		mu.Unlock()
		review.Response = &admissionv1.AdmissionResponse{UID: q.UID, Allowed: true}
		_ = json.NewEncoder(w).Encode(review)
	}))
	DeferCleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})

	stop := start()
	certify(ctx, ca)
	Eventually(entries(ctx)).WithTimeout(soon).Should(ConsistOf(policies, templates, deny, flag))
	stop()
	written, err := configuration(ctx)
	Expect(err).NotTo(HaveOccurred())
	for i := range written.Webhooks {
		c := &written.Webhooks[i].ClientConfig
		c.URL, c.Service = ptr.To(s.URL+*c.Service.Path), nil
	}
	Expect(cluster.Update(ctx, written)).To(Succeed())
	trial := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "trial-"}, Spec: v1alpha1.IsolationPolicySpec{
		Isolation: &v1alpha1.Isolation{PID: "Pod"}, Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
	}}
	// The API server takes a moment to notice.
	Eventually(func() error { return cluster.Create(ctx, trial.DeepCopy(), client.DryRunAll) }).WithTimeout(soon).Should(Succeed())
	mu.Lock()
	defer mu.Unlock()
	log = nil
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, log...)
	}
}
