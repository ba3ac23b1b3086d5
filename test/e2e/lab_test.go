// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// labFolder is where the program "escapes" is on the nodes, and in pods that mount it.
const labFolder = "/opt/lab"

// lab is a cluster on whose nodes the program "escapes" is, also as a container runtime that lies.
type lab struct {
	*cluster
	ns string
}

// newLab puts the program on every node, and makes it the handler "lying".
func newLab(c *cluster) *lab {
	GinkgoHelper()
	program := filepath.Join(GinkgoT().TempDir(), "escapes")
	build := exec.Command("go", "build", "-o", program, "./escapes")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	text, err := os.ReadFile(program)
	Expect(err).NotTo(HaveOccurred())
	for _, node := range c.nodes() {
		c.onNode(node, string(text), "sh", "-c", `mkdir -p /opt/lab && cat >/opt/lab/escapes.new && chmod 755 /opt/lab/escapes.new &&
			mv /opt/lab/escapes.new /opt/lab/escapes && ln -sf escapes /opt/lab/lying-runc
			mountpoint -q /var/log || { mount --bind /var/log /var/log; mount --make-shared /var/log; }
			grep -q lying /etc/containerd/config.toml && exit
			cat >>/etc/containerd/config.toml <<-'END'

			[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.lying]
			  runtime_type = "io.containerd.runc.v2"
			[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.lying.options]
			  BinaryName = "/opt/lab/lying-runc"
			END
			kill $(pidof containerd)`)
	}
	c.mustApply("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: lying}\nhandler: lying")
	return &lab{c, c.namespace("lab", "")}
}

func (c *cluster) nodes() []string {
	GinkgoHelper()
	return strings.Fields(c.mustKubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"))
}

// insider is a pod from which somebody who is root in it can do what the program can.
func (l *lab) insider(name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  hostPID: true
  containers:
  - {name: main, image: %q, imagePullPolicy: IfNotPresent, command: [sleep, 1d], securityContext: {privileged: true},
     volumeMounts: [{name: lab, mountPath: /lab, readOnly: true}]}
  volumes: [{name: lab, hostPath: {path: %s}}]
`, name, l.ns, image(), labFolder)
}

// deceived is a pod that asks for nothing, and whose runtime lies.
func (l *lab) deceived(name, what, spec, container string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  runtimeClassName: lying
  %s
  containers:
  - {name: main, image: %q, imagePullPolicy: IfNotPresent, command: [sleep, 1d], env: [{name: LIE, value: %s}]%s}
`, name, l.ns, spec, image(), what, container)
}

// inside runs the program in a pod until the suite ends.
func (l *lab) inside(pod corev1.Pod, args ...string) {
	GinkgoHelper()
	l.background(l.binary, append([]string{"--kubeconfig", l.kubeconfig, "-n", pod.Namespace, "exec", pod.Name, "--", "/lab/escapes"}, args...)...)
}

// beside runs a command on the pod's node until the suite ends.
func (l *lab) beside(pod corev1.Pod, command ...string) {
	GinkgoHelper()
	l.background(l.launcher, append([]string{"exec", pod.Spec.NodeName, "--"}, command...)...)
}

func (l *lab) background(name string, args ...string) {
	GinkgoHelper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
	cmd.WaitDelay = time.Second // what it started can outlive it, and holds its output
	Expect(cmd.Start()).To(Succeed())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	DeferCleanup(func() { _ = cmd.Process.Kill(); <-ended })
}

// pid is the number of a pod's first process on its node.
func (l *lab) pid(pod corev1.Pod) string {
	GinkgoHelper()
	return strings.TrimSpace(l.onNode(pod.Spec.NodeName, "", labFolder+"/escapes", "pid", containerID(pod)))
}

func containerID(pod corev1.Pod) string {
	GinkgoHelper()
	Expect(pod.Status.ContainerStatuses).NotTo(BeEmpty())
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	return id
}

// about is what a finding is about, for tables: its kind, and the axis or portal.
func about(f *v1alpha1.NodeFinding) string {
	return strings.TrimSpace(string(f.Kind) + " " + string(f.Axis) + f.Portal)
}

// row is a case in the table of results.
type row struct {
	name, expected, found string
	took                  time.Duration
	ok                    bool
}

// tell prints the table, and a last line with the totals.
func tell(title string, rows []row) {
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s\tEXPECTED\tFOUND\tAFTER\t\n", title)
	good := 0
	for _, r := range rows {
		mark, took := "ok", "-"
		if !r.ok {
			mark = "MISSED"
		} else {
			good++
		}
		if r.took > 0 {
			took = r.took.Round(100 * time.Millisecond).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.name, r.expected, r.found, took, mark)
	}
	_ = t.Flush()
	fmt.Printf("%d of %d as expected\n", good, len(rows))
	told.good, told.all = told.good+good, told.all+len(rows)
}

// told are the totals of all tables.
var told struct{ good, all int }

// tellAndExpect also fails the spec for the rows that are not as expected.
func tellAndExpect(title string, rows []row) {
	GinkgoHelper()
	tell(title, rows)
	for i := range rows {
		Expect(rows[i].ok).To(BeTrue(), "%s: expected %s, found %q", rows[i].name, rows[i].expected, rows[i].found)
	}
}

var _ = ReportAfterSuite("the totals of all tables", func(Report) {
	if told.all > 0 {
		fmt.Printf("\nIN ALL: %d of %d as expected\n", told.good, told.all)
	}
})
