// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a real Kubernetes cluster on this machine, without Docker
// and without downloading anything but Go modules. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/machine"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/node"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return
	}
	// A command on a node tells its own errors: only its exit code is passed on.
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			os.Exit(128 + int(status.Signal())) // as a shell does
		}
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
	os.Exit(1)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "A real Kubernetes on this machine, without Docker or downloads",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		upCommand(), downCommand(), statusCommand(), logsCommand(), kubeconfigCommand(),
		loadCommand(), execCommand(), buildCommand(), assetsCommand(),
		&cobra.Command{
			Use: machine.Command + " DIR", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return machine.Run(state.Dir(args[0])) },
		},
		&cobra.Command{
			Use: node.InitCommand + " DIR NODE", Hidden: true, Args: cobra.ExactArgs(2),
			RunE: func(_ *cobra.Command, args []string) error { return node.Init(state.Dir(args[0]), args[1]) },
		},
	)
	return root
}

// nameFlag adds the flag that names the cluster.
func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", "bulkhead", "name of the cluster")
}

// running returns the folder of the named cluster, if that is up.
func running(name string) (state.Dir, *state.Cluster, error) {
	if os.Geteuid() != 0 {
		return "", nil, errors.New("clusters belong to root: run this as root")
	}
	dir, err := state.DirOf(name)
	if err != nil {
		return "", nil, err
	}
	pid, err := state.MachinePID(dir)
	if err != nil {
		return "", nil, err
	}
	if pid == 0 {
		return "", nil, fmt.Errorf("no cluster %s is up: `cluster up --name %s` starts one", name, name)
	}
	cluster, err := state.Load(dir)
	return dir, cluster, err
}
