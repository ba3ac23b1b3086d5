// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e proves on a real cluster, with a real kubelet, runtime and kernel, what Bulkhead
// promises. `make e2e` makes the cluster; E2E_KUBECONFIG=FILE points it at another one on which
// Bulkhead is installed, where the specs labelled "node" are skipped: they write files on nodes.
package e2e

import (
	"context"
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
)

// k is the cluster under test.
var k *cluster

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Bulkhead on a real cluster")
}

var _ = BeforeSuite(func() {
	ctrl.SetLogger(GinkgoLogr)
	k = connect()
	k.policy("tenants", `
  match: {namespaceSelector: {matchLabels: {tenancy: shared}}}
  isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, mount: Container}
  portals: {privileged: Forbid, hostPaths: {}, hostPorts: {}}
  admission: {action: Deny}`)
	k.policy("trial", `
  match: {namespaceSelector: {matchLabels: {tenancy: trial}}}
  isolation: {pid: Pod, network: Pod, ipc: Pod, uts: Pod, mount: Container}
  admission: {action: Warn}`)
	k.mustKubectl("wait", "--for=condition=Enforced", "isolationpolicy/tenants", "isolationpolicy/trial", "--timeout=60s")
})

var _ = AfterSuite(func(ctx context.Context) {
	if k != nil {
		defer k.close()
		// Here, because no order of specs makes one the last.
		k.judgeMemory()
		k.judgeRights(ctx)
	}
})

var _ = AfterEach(func() {
	if CurrentSpecReport().Failed() && k != nil {
		for _, args := range [][]string{
			{"get", "pods", "-A", "-o", "wide"},
			{"get", "isolationpolicies", "-o", "yaml"},
			{"get", "nodeisolationreports", "-o", "yaml"},
			{"-n", "bulkhead-system", "logs", "-l", "app.kubernetes.io/name=bulkhead", "--all-containers", "--tail", "40", "--prefix"},
		} {
			out, _ := k.kubectl("", args...)
			AddReportEntry("kubectl "+args[0]+" "+args[1], out, ReportEntryVisibilityFailureOrVerbose)
		}
	}
})

// image is a shell with the usual tools that the nodes have or can pull.
func image() string {
	if i := os.Getenv("E2E_IMAGE"); i != "" {
		return i
	}
	return "busybox:bulkhead"
}
