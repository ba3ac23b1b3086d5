// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
)

func agentCommand() *cobra.Command {
	o := agent.Options{
		NodeName:  os.Getenv("NODE_NAME"),
		Namespace: envOr("POD_NAMESPACE", v1alpha1.InstallNamespace),
		PodName:   os.Getenv("POD_NAME"),
	}
	c := &cobra.Command{
		Use:   "agent",
		Short: "Observe this node's containers and report what its kernel shows",
		Long: `Observe the containers of this node, in a pod that sees the node's processes (hostPID), and write the
node's NodeIsolationReport. It reads /proc, needs uid 0 with CAP_SYS_PTRACE and nothing else, and
changes nothing on the node.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.NodeName == "" {
				return errors.New("which node is this? Set --node-name or NODE_NAME to the name of the Node object")
			}
			setLogger(c.ErrOrStderr())
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the API server: %w: run in a pod, or set KUBECONFIG", err)
			}
			if err := agent.Confine(); err != nil {
				return err
			}
			o.RestConfig, o.Log = config, ctrl.Log.WithName("agent")
			return agent.Run(ctrl.SetupSignalHandler(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.NodeName, "node-name", o.NodeName, "name of this node ($NODE_NAME)")
	f.StringVar(&o.Namespace, "namespace", o.Namespace, "where Bulkhead is installed ($POD_NAMESPACE)")
	f.StringVar(&o.Proc, "proc", "/proc", "the node's /proc")
	f.StringVar(&o.PodName, "pod-name", o.PodName, "name of this pod ($POD_NAME)")
	f.DurationVar(&o.Interval, "interval", agent.DefaultInterval, "time between two looks, give or take a fifth")
	f.StringSliceVar(&o.SandboxedHandlers, "sandboxed-handlers", agent.DefaultSandboxedHandlers,
		"handlers of runtime classes whose containers this kernel does not show")
	f.StringVar(&o.HealthAddr, "http-bind-address", ":8080", "where metrics and health are served")
	return c
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}
