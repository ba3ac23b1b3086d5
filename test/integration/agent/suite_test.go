// SPDX-License-Identifier: Apache-2.0

// Package agent runs the whole agent against a real API server, on a /proc of plain files.
package agent

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var (
	config  *rest.Config
	cluster client.Client
)

func TestAgent(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "agent")
}

var _ = BeforeSuite(func(ctx context.Context) {
	server, err := apiserver.Start(apiserver.CRDs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	config, cluster = server.Config, server.Client
	Expect(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.InstallNamespace}})).To(Succeed())
})

// node is a node with a /proc of plain files, on which an agent may run.
type node struct {
	*corev1.Node
	tree *proctest.Tree
	link *link
}

// newNode registers a node of its own for a spec.
func newNode(ctx context.Context) *node {
	GinkgoHelper()
	n := &node{
		Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}},
		tree: proctest.New(GinkgoTB()), link: &link{},
	}
	Expect(cluster.Create(ctx, n.Node)).To(Succeed())
	n.Status.NodeInfo.ContainerRuntimeVersion = "containerd://2.4.2"
	Expect(cluster.Status().Update(ctx, n.Node)).To(Succeed())
	return n
}

// runAgent runs an agent on the node until stop is called or the spec ends.
func (n *node) runAgent() (stop func()) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	reach := rest.CopyConfig(config)
	reach.Dial = n.link.dial
	go func() {
		ended <- agent.Run(ctx, agent.Options{
			NodeName: n.Name, PodName: "agent", Proc: n.tree.Root, RestConfig: reach,
			Interval: time.Second, HealthAddr: "127.0.0.1:0", Log: GinkgoLogr,
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		var err error
		Eventually(ended).WithTimeout(10 * time.Second).Should(Receive(&err))
		Expect(err).NotTo(HaveOccurred())
	})
	DeferCleanup(stop)
	return stop
}

// report is the node's report.
func (n *node) report(ctx context.Context) (*v1alpha1.NodeIsolationReport, error) {
	r := &v1alpha1.NodeIsolationReport{}
	return r, cluster.Get(ctx, client.ObjectKey{Name: n.Name}, r)
}

// kinds are the kinds of the report's findings with their axes.
func (n *node) kinds(ctx context.Context) ([]string, error) {
	r, err := n.report(ctx)
	out := []string{}
	for _, f := range r.Status.Findings {
		out = append(out, string(f.Kind)+" "+string(f.Axis))
	}
	return out, err
}

// observed are the names of the pods in the report, with their levels.
func (n *node) observed(ctx context.Context) (map[string]v1alpha1.Levels, error) {
	r, err := n.report(ctx)
	out := map[string]v1alpha1.Levels{}
	for _, g := range r.Status.Groups {
		for _, p := range g.Pods {
			out[p.Name] = g.Levels
		}
	}
	return out, err
}

// running is a pod of one container that the API server says runs on the node.
func (n *node) running(ctx context.Context, name, containerID string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Namespace: metav1.NamespaceDefault},
		Spec: corev1.PodSpec{
			NodeName: n.Name, Containers: []corev1.Container{{Name: "app", Image: "app"}},
		},
	}
	Expect(cluster.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", Image: "app", ContainerID: "containerd://" + containerID,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}}
	Expect(cluster.Status().Update(ctx, pod)).To(Succeed())
	return pod
}

// link is the network between an agent and the API server.
type link struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errors.New("the network is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

// sever cuts the network, and mend puts it together again.
func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}
