// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// cluster is a cluster on which Bulkhead runs, reached the way its users reach it.
type cluster struct {
	kubeconfig string
	binary     string // kubectl
	launcher   string // of the local cluster; empty if the cluster is somebody else's
}

// connect brings the local cluster up, or takes the one that E2E_KUBECONFIG names.
func connect() *cluster {
	GinkgoHelper()
	if file := os.Getenv("E2E_KUBECONFIG"); file != "" {
		binary, err := exec.LookPath("kubectl")
		Expect(err).NotTo(HaveOccurred(), "with E2E_KUBECONFIG, kubectl must be on the PATH")
		return &cluster{kubeconfig: file, binary: binary}
	}
	Expect(os.Geteuid()).To(BeZero(), "the local cluster needs root; run `make e2e` as root, or set E2E_KUBECONFIG")
	root, err := filepath.Abs("../..")
	Expect(err).NotTo(HaveOccurred())
	c := &cluster{launcher: filepath.Join(root, "bin", "cluster")}
	// Registered first: whatever happens from here on, nothing stays behind.
	DeferCleanup(c.down)
	up := exec.Command(filepath.Join(root, "hack", "up.sh"))
	up.Stderr = GinkgoWriter
	out, err := up.Output()
	Expect(err).NotTo(HaveOccurred(), "hack/up.sh could not bring the cluster up; see its output above")
	lines := strings.Fields(string(out))
	Expect(lines).NotTo(BeEmpty(), "hack/up.sh printed no kubeconfig")
	c.kubeconfig = lines[len(lines)-1]
	assets, err := exec.Command(c.launcher, "assets").Output()
	Expect(err).NotTo(HaveOccurred())
	c.binary = filepath.Join(strings.TrimSpace(string(assets)), "kubectl")
	return c
}

func (c *cluster) down() {
	if os.Getenv("E2E_KEEP") != "" {
		GinkgoWriter.Printf("E2E_KEEP is set: the cluster stays up; %s down takes it down\n", c.launcher)
		return
	}
	out, err := exec.Command(c.launcher, "down").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
}

// close removes what the suite made on a cluster that stays.
func (c *cluster) close() {
	_, _ = c.kubectl("", "delete", "isolationpolicy", "tenants", "trial", "--ignore-not-found")
	_, _ = c.kubectl("", "delete", "-k", evictionComponent, "--ignore-not-found")
}

// kubectl runs kubectl with the given standard input and returns all that it prints.
func (c *cluster) kubectl(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary, append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	// Nothing of the person who runs this is read or written.
	cmd.Env = append(os.Environ(), "KUBECONFIG=", "KUBECACHEDIR="+filepath.Join(os.TempDir(), "bulkhead-e2e-kubecache"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) mustKubectl(args ...string) string {
	GinkgoHelper()
	out, err := c.kubectl("", args...)
	Expect(err).NotTo(HaveOccurred(), "kubectl %s: %s", strings.Join(args, " "), out)
	return out
}

// apply applies a manifest and returns what kubectl says, warnings included.
func (c *cluster) apply(manifest string) (string, error) {
	return c.kubectl(manifest, "apply", "-f", "-")
}

func (c *cluster) mustApply(manifest string) string {
	GinkgoHelper()
	out, err := c.apply(manifest)
	Expect(err).NotTo(HaveOccurred(), "kubectl apply: %s\n%s", out, manifest)
	return out
}

func (c *cluster) policy(name, spec string) {
	GinkgoHelper()
	c.mustApply("apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: " + name + "}\nspec:" + spec)
}

// namespace makes a namespace that goes with the spec. tenancy is its label; empty for none.
func (c *cluster) namespace(prefix, tenancy string) string {
	GinkgoHelper()
	name := fmt.Sprintf("%s-%d", prefix, time.Now().UnixNano()%1e9)
	labels := ""
	if tenancy != "" {
		labels = "tenancy: " + tenancy
	}
	c.mustApply(fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}", name, labels))
	DeferCleanup(func() {
		_, _ = c.kubectl("", "delete", "namespace", name, "--wait=false")
		_, _ = c.kubectl("", "-n", name, "delete", "pods", "--all", "--now", "--wait=false")
	})
	// A pod is refused until its namespace has a service account.
	Eventually(func() error {
		_, err := c.kubectl("", "-n", name, "get", "serviceaccount", "default")
		return err
	}).WithTimeout(20 * time.Second).Should(Succeed())
	return name
}

// pod is a manifest of a pod that sleeps; spec is added to it, in YAML.
func pod(namespace, name, spec string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  %s
  containers:
  - {name: main, image: %q, imagePullPolicy: IfNotPresent, command: [sleep, 1d]}
`, name, namespace, spec, image())
}

// privileged is a pod that has the node's processes and all privileges.
func privileged(namespace, name string) string {
	return strings.Replace(pod(namespace, name, "hostPID: true"),
		"command: [sleep, 1d]", "command: [sleep, 1d], securityContext: {privileged: true}", 1)
}

// running waits for a pod to run, and returns it.
func (c *cluster) running(namespace, name string) corev1.Pod {
	GinkgoHelper()
	c.mustKubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/"+name, "--timeout=90s")
	var p corev1.Pod
	Expect(json.Unmarshal([]byte(c.mustKubectl("-n", namespace, "get", "pod", name, "-o", "json")), &p)).To(Succeed())
	return p
}

// report is the report of a node; the error is for Eventually.
func (c *cluster) report(node string) (*v1alpha1.NodeIsolationReport, error) {
	var r v1alpha1.NodeIsolationReport
	return &r, c.get(&r, "nodeisolationreport", node)
}

func (c *cluster) getPolicy(name string) (*v1alpha1.IsolationPolicy, error) {
	var p v1alpha1.IsolationPolicy
	return &p, c.get(&p, "isolationpolicy", name)
}

func (c *cluster) get(into any, args ...string) error {
	out, err := c.kubectl("", append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return fmt.Errorf("kubectl get %v: %w: %s", args, err, out)
	}
	return json.Unmarshal([]byte(out), into)
}

// levels are the levels that the report of the pod's node tells for it; nil if it does not.
func (c *cluster) levels(p corev1.Pod) func() (*v1alpha1.Levels, error) {
	return func() (*v1alpha1.Levels, error) {
		r, err := c.report(p.Spec.NodeName)
		if err != nil {
			return nil, err
		}
		for _, g := range r.Status.Groups {
			for _, o := range g.Pods {
				if o.UID == p.UID {
					return &g.Levels, nil
				}
			}
		}
		return nil, nil
	}
}

// findings are the findings of a node's report of one kind.
func (c *cluster) findings(node string, kind v1alpha1.FindingKind, about func(v1alpha1.NodeFinding) bool) func() ([]v1alpha1.NodeFinding, error) {
	return func() ([]v1alpha1.NodeFinding, error) {
		r, err := c.report(node)
		if err != nil {
			return nil, err
		}
		var out []v1alpha1.NodeFinding
		for _, f := range r.Status.Findings {
			if f.Kind == kind && about(f) {
				out = append(out, f)
			}
		}
		return out, nil
	}
}

func ofPod(p corev1.Pod) func(v1alpha1.NodeFinding) bool {
	return func(f v1alpha1.NodeFinding) bool { return f.Pod.UID == p.UID }
}

// onNode runs a command on a node, as root and beside every container.
func (c *cluster) onNode(node, stdin string, command ...string) string {
	GinkgoHelper()
	if c.launcher == "" {
		Skip("needs access to a node's files: only on the local cluster")
	}
	cmd := exec.Command(c.launcher, append([]string{"exec", node, "--"}, command...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "on %s: %s: %s", node, strings.Join(command, " "), out)
	return string(out)
}

// aNode is the name of a node.
func (c *cluster) aNode() string {
	GinkgoHelper()
	nodes := strings.Fields(c.mustKubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"))
	Expect(nodes).NotTo(BeEmpty())
	return nodes[len(nodes)-1]
}
