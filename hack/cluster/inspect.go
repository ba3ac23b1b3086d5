// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/lifecycle"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

func statusCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List a cluster's processes",
		Long: `List a cluster's processes, with their pids as this machine sees them. One that is
killed is started again a second later.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, _, err := running(name)
			if err != nil {
				return err
			}
			components, err := lifecycle.Components(dir)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "COMPONENT\tPID\tRESTARTS\tLAST END\tLOG")
			for _, c := range components {
				pid := "-"
				if found, err := lifecycle.PID(dir, c); err == nil {
					pid = fmt.Sprint(found)
				}
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", c.Name, pid, max(0, c.Status.Starts-1), c.Status.LastExit, c.Log)
			}
			return table.Flush()
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

func logsCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "logs COMPONENT",
		Short: "Print the log of one of a cluster's processes, as named by status, or the API server's: audit",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, _, err := running(name)
			if err != nil {
				return err
			}
			components, err := lifecycle.Components(dir)
			if err != nil {
				return err
			}
			components = append(components, lifecycle.Component{Name: "audit", Log: dir.Logs(state.AuditLog)})
			var names []string
			for _, c := range components {
				if c.Name != args[0] {
					names = append(names, c.Name)
					continue
				}
				file, err := os.Open(c.Log)
				if err != nil {
					return fmt.Errorf("open the log of %s: %w", c.Name, err)
				}
				defer file.Close() //nolint:errcheck // only read
				_, err = io.Copy(os.Stdout, file)
				return err
			}
			return fmt.Errorf("cluster %s has no component %q; it has %s", name, args[0], strings.Join(names, ", "))
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

func kubeconfigCommand() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the administrator's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, _, err := running(name)
			if err == nil {
				fmt.Println(dir.Kubeconfig())
			}
			return err
		},
	}
	nameFlag(cmd, &name)
	return cmd
}
