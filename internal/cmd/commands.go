// SPDX-License-Identifier: Apache-2.0

package cmd

import "github.com/spf13/cobra"

// tools need no cluster.
func tools() []*cobra.Command {
	return []*cobra.Command{versionCommand()}
}

// parts run in a cluster.
func parts() []*cobra.Command {
	return nil
}
