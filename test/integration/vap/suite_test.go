// SPDX-License-Identifier: Apache-2.0

// Package vap tests what policies are compiled to on a real API server, with no manager in sight: that
// it takes the objects as they are, finds nothing wrong with their types, and judges by them.
package vap

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var (
	server *apiserver.Server
	// cluster hears warnings.
	cluster client.Client
	heard   warnings
)

func TestVAP(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "internal/vap")
}

var _ = BeforeSuite(func() {
	var err error
	server, err = apiserver.Start(apiserver.CRDs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	config := rest.CopyConfig(server.Config)
	config.WarningHandler = &heard
	cluster, err = client.New(config, client.Options{Scheme: server.Client.Scheme()})
	Expect(err).NotTo(HaveOccurred())
})

// warnings are those that the API server sent.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// take are the warnings since they were taken last.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// world is a namespace of a test, and what the policies in it match.
type world struct {
	namespace string
	policies  int
}

// newWorld makes a namespace.
func newWorld(ctx context.Context) *world {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "vap-"}}
	Expect(cluster.Create(ctx, ns)).To(Succeed())
	return &world{namespace: ns.Name}
}

// policy is one with these fields of the spec in YAML for this namespace, as the API server stores it.
func (w *world) policy(ctx context.Context, spec string) *v1alpha1.IsolationPolicy {
	GinkgoHelper()
	w.policies++
	p := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", w.namespace, w.policies)}}
	p.Spec.Admission = v1alpha1.AdmissionSpec{Action: v1alpha1.Deny, Engine: v1alpha1.EngineValidatingAdmissionPolicy}
	p.Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}}}
	Expect(yaml.UnmarshalStrict([]byte(strings.ReplaceAll(spec, "NAMESPACE", w.namespace)), &p.Spec)).To(Succeed())
	Expect(cluster.Create(ctx, p)).To(Succeed())
	DeferCleanup(cluster.Delete, p)
	return p
}

// enforce compiles a policy and stores what it becomes.
func (w *world) enforce(ctx context.Context, p *v1alpha1.IsolationPolicy) *vap.Objects {
	GinkgoHelper()
	o, err := vap.Compile(p, vap.Options{ExcludedNamespaces: []string{"kube-system"}})
	Expect(err).NotTo(HaveOccurred())
	for _, object := range []client.Object{o.Policy.DeepCopy(), o.Binding.DeepCopy()} {
		Expect(cluster.Create(ctx, object)).To(Succeed())
		DeferCleanup(cluster.Delete, object)
	}
	return o
}

// pod is a pod in the namespace with these fields of the spec in YAML, and a container called app
// unless they say otherwise.
func (w *world) pod(name, spec string) *corev1.Pod {
	GinkgoHelper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}}
	Expect(yaml.UnmarshalStrict([]byte(spec), &p.Spec)).To(Succeed())
	if p.Spec.Containers == nil {
		p.Spec.Containers = []corev1.Container{{Name: "app"}}
	}
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Image = "example.com/app"
	}
	for i := range p.Spec.InitContainers {
		p.Spec.InitContainers[i].Image = "example.com/init"
	}
	return p
}

// dryRun asks the API server without storing.
func dryRun(ctx context.Context, p *corev1.Pod) error {
	return cluster.Create(ctx, p.DeepCopy(), client.DryRunAll)
}

// eventuallyRefused waits until the API server has taken the policy up, and is the refusal.
func eventuallyRefused(ctx context.Context, p *corev1.Pod) string {
	GinkgoHelper()
	var message string
	Eventually(func(g Gomega) {
		err := dryRun(ctx, p)
		g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		message = err.Error()
	}).Should(Succeed())
	return message
}

// debug adds an ephemeral container with these fields in YAML to the pod as it is stored.
func debug(ctx context.Context, p *corev1.Pod, container string) error {
	GinkgoHelper()
	var current corev1.Pod
	Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), &current)).To(Succeed())
	e := corev1.EphemeralContainer{}
	Expect(yaml.UnmarshalStrict([]byte(container), &e)).To(Succeed())
	e.Image = "example.com/debug"
	current.Spec.EphemeralContainers = append(current.Spec.EphemeralContainers, e)
	return cluster.SubResource("ephemeralcontainers").Update(ctx, &current)
}
