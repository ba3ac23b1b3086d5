// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/lifecycle"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/node"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

func execCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "exec NODE -- COMMAND [ARGUMENT...]",
		Short: "Run a command on a node",
		Long: `Run a command on a node, as root and in all of the node's namespaces. Its input,
output and exit code are the command's. "ctr" there talks to the node's containerd,
and what is written to /etc/kubernetes/manifests becomes a static pod.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, cluster, err := running(name)
			if err != nil {
				return err
			}
			command := args[1:]
			if len(command) > 1 && command[0] == "--" {
				command = command[1:] // optional, for those who are used to kubectl exec
			}
			onNode, err := lifecycle.OnNode(dir, cluster, args[0], command)
			if err != nil {
				return err
			}
			onNode.Stdin, onNode.Stdout, onNode.Stderr = os.Stdin, os.Stdout, os.Stderr
			return lifecycle.RunForwarding(onNode)
		},
	}
	cmd.Flags().SetInterspersed(false)
	nameFlag(cmd, &name)
	return cmd
}

func loadCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "load ARCHIVE...",
		Short: "Import image archives (OCI or docker-archive) into every node",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, archives []string) error {
			dir, cluster, err := running(name)
			if err != nil {
				return err
			}
			for _, archive := range archives {
				for _, n := range cluster.Nodes {
					if err := load(dir, cluster, n.Name, archive); err != nil {
						return fmt.Errorf("load %s into node %s: %w", archive, n.Name, err)
					}
				}
				fmt.Fprintf(os.Stderr, "Loaded %s into %d nodes.\n", archive, len(cluster.Nodes))
			}
			return nil
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

func load(dir state.Dir, cluster *state.Cluster, nodeName, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	command, err := lifecycle.OnNode(dir, cluster, nodeName, node.ImportCommand())
	if err != nil {
		return err
	}
	command.Stdin = file
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %s", err, output) // not wrapped: its exit code is not ours
	}
	return nil
}
