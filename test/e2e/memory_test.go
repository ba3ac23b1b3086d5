// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/gomega"
)

// agentMemory is the most anonymous memory that an agent may have, in KiB: a third of its container's limit.
const agentMemory = 32 << 10

// judgeMemory holds what the agents have at the end against what they may.
func (c *cluster) judgeMemory() {
	if c.launcher == "" {
		return // the nodes cannot be entered
	}
	for _, node := range c.nodes() {
		var sizes []string
		Eventually(func() []string {
			// Processes end meanwhile: the redirection of what is said of that comes before the one that fails.
			sizes = strings.Fields(c.onNode(node, "", "sh", "-c", `for p in /proc/[0-9]*; do
				case "$(tr '\0' ' ' 2>/dev/null <$p/cmdline)" in "/bulkhead agent "*) sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' $p/status;; esac
			done`))
			return sizes
		}).WithTimeout(time.Minute).WithPolling(time.Second).Should(HaveLen(1), "on node %s runs one agent", node)
		kib, err := strconv.Atoi(sizes[0])
		Expect(err).NotTo(HaveOccurred())
		fmt.Printf("The agent of %s has %.1f MiB of anonymous memory, at most %d are its own.\n", node, float64(kib)/1024, agentMemory/1024)
		Expect(kib).To(BeNumerically("<=", agentMemory), "KiB of anonymous memory of the agent of node %s", node)
	}
}
