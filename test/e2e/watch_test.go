// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// watch shows every version of a node's report to visit, until stop is called. What visit writes may be read
// from then on.
func (c *cluster) watch(node string, visit func(*v1alpha1.NodeIsolationReport)) (stop func()) {
	GinkgoHelper()
	cmd := exec.Command(c.binary, "--kubeconfig", c.kubeconfig, "get", "nodeisolationreport", node, "--watch", "-o", "json")
	cmd.Stderr = GinkgoWriter
	out, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	versions, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		for d := json.NewDecoder(out); ; versions++ {
			var report v1alpha1.NodeIsolationReport
			if d.Decode(&report) != nil {
				return
			}
			visit(&report)
		}
	}()
	stopped := false
	end := func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			<-ended
			_ = cmd.Wait()
		}
	}
	DeferCleanup(end)
	return func() {
		GinkgoHelper()
		select {
		case <-ended:
			Fail("the watch of the report of " + node + " ended by itself")
		default:
		}
		end()
		Expect(versions).To(BeNumerically(">", 0), "no report of %s was seen", node)
	}
}

// heard is what reports said of pods, whenever they did.
type heard map[types.UID][]string

// listen collects all that the report of a node finds, until stop is called.
func (c *cluster) listen(node string) (all heard, stop func()) {
	GinkgoHelper()
	all = make(heard)
	return all, c.watch(node, func(report *v1alpha1.NodeIsolationReport) {
		for i := range report.Status.Findings {
			f := &report.Status.Findings[i]
			if text := about(f) + ": " + f.Message; !slices.Contains(all[f.Pod.UID], text) {
				all[f.Pod.UID] = append(all[f.Pod.UID], text)
			}
		}
	})
}
