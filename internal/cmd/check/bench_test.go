// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/check"
)

// BenchmarkThousandPods reads and judges 1,000 pods by the samples.
func BenchmarkThousandPods(b *testing.B) {
	var pods strings.Builder
	for i := range 1000 {
		pods.WriteString(pod("p"+strconv.Itoa(i), "  hostPID: true\n") + "---\n")
	}
	for b.Loop() {
		c := check.Command()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetIn(strings.NewReader(pods.String()))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		c.SetArgs([]string{"-f", "-", "--policy", "../../../config/samples"})
		if err := c.Execute(); err == nil {
			b.Fatal("hostPID is allowed")
		}
	}
}
