// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/report"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/words"
)

const (
	// exitWrong is the exit code if something is wrong with the pod, exitUnread if it could not be told.
	exitWrong, exitUnread = 1, 2
)

const long = `Explain how isolated a pod is, side by side on every axis (kind of namespace) and every portal (opening
beside the namespaces):

  required  the most that a policy asks for which matches the pod, exemptions aside, and which policy that is
  claimed   what the pod's spec asks for: the least of its containers
  observed  what the agent of its node read from the kernel, and when

and then what each policy says of it, with what to change, and what was found on the node, with a command
that shows it there. What nobody has seen is never called isolated. Of portals, observed means:

  as claimed         nothing is open but what the spec asks for
  open, not claimed  something is; the findings tell what
  not seen           nobody has looked yet, or could
  -                  no process shows it: the spec alone tells

It reads the pod, its namespace, the policies, and the report and Lease of its node, with the rights of
whoever calls it, and changes nothing.

-o json and yaml have all of it; apiVersion ` + report.APIVersion + `, kind PodExplanation.

Exit code: 0 nothing is wrong or nothing is required, 1 a policy is violated, breached or cannot be verified,
2 a bad call, or the cluster could not be read.`

const examples = `  # Why does this pod violate a policy, and what would help?
  bulkhead explain pod web-0 -n shop

  # What is to be done, for a program
  bulkhead explain pod web-0 -n shop -o json | jq -r '.policies[].findings[] | .message, .change // empty'`

// Command is the command "explain".
func Command() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	install, output := v1alpha1.InstallNamespace, formats[0]
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
			if !slices.Contains(formats, output) {
				return bad(fmt.Errorf("--output %q: it can be %s", output, words.Or(formats)))
			}
			reader, namespace, err := cluster.Connect(flags)
			if err != nil {
				return bad(err)
			}
			e, err := read(c.Context(), reader, client.ObjectKey{Namespace: namespace, Name: args[1]}, install, time.Now())
			if err != nil {
				return bad(err)
			}
			if err := e.print(c.OutOrStdout(), output); err != nil {
				return fmt.Errorf("write the explanation: %w", err)
			}
			if e.wrong() {
				return &exit.Error{Code: exitWrong}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", output, "`format`: "+words.Or(formats))
	c.Flags().StringVar(&install, "bulkhead-namespace", install, "the `namespace` where Bulkhead is installed")
	flags.AddFlags(c.Flags())
	return c
}

func bad(err error) error { return &exit.Error{Code: exitUnread, Err: err} }
