// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
)

const (
	// exitWrong is the exit code if something is wrong with the pod, exitUnread if it could not be told.
	exitWrong, exitUnread = 1, 2
)

const long = `Explain how isolated a pod is: what the policies that match it require on each axis, what its spec claims
there, and what the agent of its node observed; which portals are open that a policy forbids; which policy
says so, what was seen that shows it, and what to change.

It reads the pod, its namespace, the policies, and the report and Lease of its node, with the rights of
whoever calls it, and changes nothing.

Exit code: 0 nothing is wrong or nothing is required, 1 a policy is violated, breached or cannot be verified,
2 a bad call, or the cluster could not be read.`

const examples = `  # Why does this pod violate a policy, and what would help?
  bulkhead explain pod web-0 -n shop`

// Command is the command "explain".
func Command() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	install := v1alpha1.InstallNamespace
	c := &cobra.Command{
		Use:     "explain pod NAME",
		Short:   "Tell what is required of a pod, what it asks for and what it has",
		Long:    long,
		Example: examples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] != "pod" && args[0] != "pods" && args[0] != "po" {
				return bad(errors.New("name one pod: bulkhead explain pod NAME"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			reader, namespace, err := cluster.Connect(flags)
			if err != nil {
				return bad(err)
			}
			e, err := read(c.Context(), reader, client.ObjectKey{Namespace: namespace, Name: args[1]}, install, time.Now())
			if err != nil {
				return bad(err)
			}
			if err := e.print(c.OutOrStdout()); err != nil {
				return fmt.Errorf("write the explanation: %w", err)
			}
			if e.wrong() {
				return &exit.Error{Code: exitWrong}
			}
			return nil
		},
	}
	c.Flags().StringVar(&install, "bulkhead-namespace", install, "the `namespace` where Bulkhead is installed")
	flags.AddFlags(c.Flags())
	return c
}

func bad(err error) error { return &exit.Error{Code: exitUnread, Err: err} }
