// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/build"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/lifecycle"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

func upCommand() *cobra.Command {
	options := lifecycle.Options{Out: os.Stderr}
	recreate := false
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up and leave it running",
		Long: `Bring a cluster up and leave it running. A cluster of that name that is up already
is left as it is, whatever the other flags say. If anything fails, or at Ctrl-C,
nothing is left behind. The first time, Kubernetes is built, which takes minutes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return up(cmd.Context(), options, recreate)
		},
	}
	nameFlag(cmd, &options.Name)
	cmd.Flags().IntVar(&options.Nodes, "nodes", 2, "number of nodes")
	cmd.Flags().StringVar(&options.Kubeconfig, "kubeconfig", "", "also write the kubeconfig to this file")
	cmd.Flags().BoolVar(&recreate, "recreate", false, "first take down the cluster of that name, if it is up")
	return cmd
}

func up(ctx context.Context, options lifecycle.Options, recreate bool) error {
	dir, err := state.DirOf(options.Name)
	if err != nil {
		return err
	}
	if options.Nodes < 1 || options.Nodes > state.MaxNodes {
		return fmt.Errorf("--nodes %d: use 1 to %d", options.Nodes, state.MaxNodes)
	}
	if err := lifecycle.CheckMachine(); err != nil {
		return err
	}
	if recreate {
		if err := lifecycle.Down(ctx, options.Name); err != nil {
			return err
		}
	}
	if up, err := lifecycle.IsUp(dir); err != nil || up {
		fmt.Fprintf(options.Out, "Cluster %s is up already; --recreate makes a new one.\n", options.Name)
		return errors.Join(err, lifecycle.CopyKubeconfig(dir, options.Kubeconfig))
	}
	builder, err := newBuilder(options.Out)
	if err != nil {
		return err
	}
	if options.KubeBin, err = builder.Ensure(ctx, build.Kube()); err != nil {
		return err
	}
	if options.NodeBin, err = builder.Ensure(ctx, build.Node()); err != nil {
		return err
	}
	options.Pause = filepath.Join(options.NodeBin, "pause")
	if err := lifecycle.Up(ctx, options); err != nil {
		return err
	}
	fmt.Fprintf(options.Out, `
Cluster %[1]s is up. To use it:

  export KUBECONFIG=%[2]s
  export PATH=%[3]s:$PATH
  kubectl run hello --image=busybox:bulkhead -- sleep 1d

"cluster down --name %[1]s" takes it down.
`, options.Name, dir.Kubeconfig(), options.KubeBin)
	return nil
}

func downCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take a cluster down and leave nothing of it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := lifecycle.CheckRoot(); err != nil {
				return err
			}
			if err := lifecycle.Down(cmd.Context(), name); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "Nothing is left of cluster %s.\n", name)
			return nil
		},
	}
	nameFlag(cmd, &name)
	return cmd
}
