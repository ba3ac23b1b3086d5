// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// debugProfiles are all that kubectl has.
var debugProfiles = []string{"legacy", "general", "baseline", "restricted", "netadmin", "sysadmin"}

// The ways in which kubectl debug gets a container to where it is wanted.
const (
	asDebugger = "an ephemeral container"
	withTarget = "an ephemeral container with a target"
	asCopy     = "a copy of the pod"
	onANode    = "a pod on a node"
)

var debugWays = []string{asDebugger, withTarget, asCopy, onANode}

// debugDemands forbid what the profiles open; pid is the level that is demanded.
func debugDemands(pid string) string {
	return `
isolation: {pid: ` + pid + `, network: Pod, ipc: Pod, uts: Pod, mount: Container}
portals:
  privileged: Forbid
  procMount: Forbid
  hostPaths: {}
  hostPorts: {}
  capabilities: {forbid: [SYS_ADMIN, SYS_PTRACE, NET_ADMIN]}`
}

// debugVerdict is what a refusal names; empty if the container is admitted. sharing tells whether
// the policy lets the containers of a pod share their processes.
func debugVerdict(way, profile string, sharing bool) string {
	if way == onANode {
		switch profile {
		case "baseline", "restricted":
			return ""
		default:
			return "spec.hostPID"
		}
	}
	if !sharing {
		switch {
		case way == withTarget:
			return "targetContainerName"
		case way == asCopy && profile != "legacy":
			return "spec.shareProcessNamespace"
		}
	}
	return map[string]string{"general": "SYS_PTRACE", "netadmin": "NET_ADMIN", "sysadmin": "securityContext.privileged"}[profile]
}

// debug runs kubectl debug, and returns what it says.
func (c *cluster) debug(namespace, way, profile string, more ...string) (string, error) {
	GinkgoHelper()
	args := []string{"-n", namespace, "debug"}
	switch way {
	case onANode:
		args = append(args, "node/"+c.aNode())
	case asCopy:
		args = append(args, "web", "--copy-to="+debugger(way, profile), "--container=debugger")
	case withTarget:
		args = append(args, "web", "--container="+debugger(way, profile), "--target=main")
	default:
		args = append(args, "web", "--container="+debugger(way, profile))
	}
	args = append(args, "--profile="+profile, "--image="+image(), "--image-pull-policy=IfNotPresent", "--attach=false")
	return c.kubectl("", append(append(args, more...), "--", "sleep", "1d")...)
}

// debugger is a name, of a container or of a copy.
func debugger(way, profile string) string {
	return map[string]string{asDebugger: "plain", withTarget: "target", asCopy: "copy", onANode: "node"}[way] + "-" + profile
}

// arrived tells whether the API server has what kubectl debug made.
func (c *cluster) arrived(namespace, way, profile string) bool {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(c.get(&pods, "pods", "-n", namespace)).To(Succeed())
	for _, p := range pods.Items {
		switch {
		case way == onANode && strings.HasPrefix(p.Name, "node-debugger-"), way == asCopy && p.Name == debugger(way, profile):
			return true
		case way == asCopy || way == onANode:
			continue
		}
		for _, e := range p.Spec.EphemeralContainers {
			if e.Name == debugger(way, profile) {
				return true
			}
		}
	}
	return false
}

// debugTarget is a namespace with a pod in it that runs.
func (c *cluster) debugTarget(prefix, tenancy string) string {
	GinkgoHelper()
	ns := c.namespace(prefix, tenancy)
	c.mustApply(pod(ns, "web", ""))
	c.running(ns, "web")
	return ns
}

var _ = Describe("kubectl debug", func() {
	for _, engine := range engines {
		for _, sharing := range []bool{true, false} {
			what, pid := "shared processes", "Pod"
			if !sharing {
				what, pid = "no shared processes", "Container"
			}
			Describe(fmt.Sprintf("with every profile, under a policy of engine %s that allows %s", engine, what), Ordered, func() {
				var ns string
				BeforeAll(func() {
					name := strings.ToLower("debug-" + string(engine)[:3] + "-" + pid)
					k.denying(name, engine, debugDemands(pid))
					ns = k.debugTarget("debug", name)
				})
				for _, way := range debugWays {
					It("judges "+way, func() {
						for _, profile := range debugProfiles {
							By("profile " + profile)
							out, err := k.debug(ns, way, profile)
							if reason := debugVerdict(way, profile, sharing); reason != "" {
								Expect(err).To(HaveOccurred(), "profile %s is admitted: %s", profile, out)
								Expect(out).To(ContainSubstring(reason), "profile %s", profile)
								Expect(k.arrived(ns, way, profile)).To(BeFalse(), "profile %s: refused, and yet there", profile)
								continue
							}
							Expect(err).NotTo(HaveOccurred(), "profile %s: %s", profile, out)
							Expect(k.arrived(ns, way, profile)).To(BeTrue(), "profile %s: admitted, and yet not there", profile)
							// Node debuggers have names of chance: none may be left to be taken for the next.
							k.mustKubectl("-n", ns, "delete", "pods", "-l", "app.kubernetes.io/managed-by=kubectl-debug", "--now")
						}
					})
				}
			})
		}

		It("judges what --custom makes of a profile, under engine "+string(engine), func() {
			name := "custom-" + strings.ToLower(string(engine)[:3])
			k.denying(name, engine, debugDemands("Pod"))
			ns := k.debugTarget("debug", name)
			custom := func(container string) string {
				file := filepath.Join(GinkgoT().TempDir(), "custom.json")
				Expect(os.WriteFile(file, []byte(container), 0o600)).To(Succeed())
				return "--custom=" + file
			}
			out, err := k.debug(ns, asDebugger, "baseline", custom(`{"securityContext": {"privileged": true}}`))
			Expect(err).To(HaveOccurred(), out)
			Expect(out).To(ContainSubstring("spec.ephemeralContainers[0].securityContext.privileged"))
			out, err = k.debug(ns, asCopy, "baseline", custom(`{"securityContext": {"capabilities": {"add": ["CAP_sys_admin"]}}}`))
			Expect(err).To(HaveOccurred(), out)
			Expect(out).To(ContainSubstring("capabilities"))

			out, err = k.debug(ns, asDebugger, "baseline", custom(`{"env": [{"name": "WHO", "value": "me"}]}`))
			Expect(err).NotTo(HaveOccurred(), out)
			Expect(k.arrived(ns, asDebugger, "baseline")).To(BeTrue())
		})
	}

	It("works with every profile where no policy looks, and the debugger runs", func() {
		ns := k.debugTarget("free", "")
		for _, way := range debugWays {
			for _, profile := range debugProfiles {
				out, err := k.debug(ns, way, profile)
				Expect(err).NotTo(HaveOccurred(), "%s, profile %s: %s", way, profile, out)
				Expect(out).NotTo(ContainSubstring("bulkhead: "))
				Expect(k.arrived(ns, way, profile)).To(BeTrue(), "%s, profile %s", way, profile)
				k.mustKubectl("-n", ns, "delete", "pods", "-l", "app.kubernetes.io/managed-by=kubectl-debug", "--now")
			}
		}
		running := func() string {
			return k.mustKubectl("-n", ns, "get", "pod", "web", "-o",
				`jsonpath={.status.ephemeralContainerStatuses[?(@.name=="target-sysadmin")].state.running.startedAt}`)
		}
		Eventually(running).WithTimeout(time.Minute).ShouldNot(BeEmpty())
	})
})
