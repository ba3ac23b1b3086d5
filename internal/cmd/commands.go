// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/check"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/compile"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/explain"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/report"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/scan"
)

// tools are for people and pipelines; explain and report read a cluster, the others need none.
func tools() []*cobra.Command {
	return []*cobra.Command{check.Command(), compile.Command(), scan.Command(), explain.Command(), report.Command(), versionCommand()}
}

// parts run in a cluster.
func parts() []*cobra.Command {
	return []*cobra.Command{managerCommand(), agentCommand()}
}
