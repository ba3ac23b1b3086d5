// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"maps"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/rights"
)

// accounts have grants that this suite need not use, with why they are granted all the same. A suite of integration
// tests, test/integration/rights, uses all of them but the first.
var accounts = map[string]map[string]string{
	"bulkhead-manager": {
		"update isolationpolicies/finalizers.bulkhead.dev": "asked for by an admission plugin, which logs nothing",

		"get namespaces":                     "only if a pod comes before the news of its namespace",
		"get isolationpolicies.bulkhead.dev": "only if what a policy was compiled to outlives it for a moment",
		"get validatingadmissionpolicies.admissionregistration.k8s.io":          "only if somebody hides one",
		"delete validatingadmissionpolicies.admissionregistration.k8s.io":       "only once a policy has had another engine for ten seconds; of one that is deleted the garbage collector takes it",
		"delete validatingadmissionpolicybindings.admissionregistration.k8s.io": "as above",
		"get validatingadmissionpolicybindings.admissionregistration.k8s.io":    "only if somebody hides one",
	},
	"bulkhead-agent": nil,
}

// noViewers is why what one role grants need not be used.
const noViewers = "this cluster has no kind of report for viewers of policies"

// judgeRights holds what the manager and the agents asked for in the whole run against what they are granted.
func (c *cluster) judgeRights(ctx context.Context) {
	GinkgoHelper()
	if c.launcher == "" {
		GinkgoWriter.Println("What was asked for is not held against what is granted: the audit log of this cluster cannot be reached")
		return
	}
	log, err := exec.CommandContext(ctx, c.launcher, "logs", "audit").Output()
	Expect(err).NotTo(HaveOccurred(), "no audit log: a cluster that was up before it had one must be made anew (bin/cluster up --recreate)")
	events, err := rights.ReadLog(bytes.NewReader(log))
	Expect(err).NotTo(HaveOccurred())
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	admin, err := client.New(config, client.Options{})
	Expect(err).NotTo(HaveOccurred())
	installed, err := rights.Installed(ctx, admin)
	Expect(err).NotTo(HaveOccurred())
	var wrong []string
	for account, unused := range accounts {
		wrong = append(wrong, judged(installed, account, unused, events)...)
	}
	Expect(wrong).To(BeEmpty())
}

func judged(installed *rights.Roles, account string, unused map[string]string, events []auditv1.Event) []string {
	// What the suite asks with a token of the account's is none of the program's.
	run := &rights.Run{Account: rights.Account(v1alpha1.InstallNamespace, account), Program: "bulkhead/", Events: events, Unused: map[string]string{}}
	maps.Copy(run.Unused, unused)
	run.Grants = installed.To(run.Account)
	if !wholeSuite() {
		return run.Denied()
	}
	for _, g := range run.Grants {
		if g.Role == "ClusterRole bulkhead-manager-reports" {
			run.Unused[g.String()] = noViewers
		}
	}
	return run.Judge()
}

// wholeSuite tells whether everything runs but escapes and faults: whoever picks a few specs does not see all that is used.
func wholeSuite() bool {
	suite, _ := GinkgoConfiguration()
	picked := len(suite.FocusStrings) + len(suite.SkipStrings) + len(suite.FocusFiles) + len(suite.SkipFiles)
	return picked == 0 && (suite.LabelFilter == "" || suite.LabelFilter == "!escapes && !faults")
}
