// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Exit codes beside 0.
const (
	exitFindings = 1
	exitBadUsage = 2
)

// options are the flags.
type options struct {
	proc      string
	policies  []string
	sandboxes bool
	output    string
}

// Command is the command "scan".
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "scan",
		Short: "Read how isolated this machine's containers are, without Kubernetes",
		Long: `Read from this machine's /proc how isolated its containers are: those of docker, podman, containerd,
CRI-O, LXC, and those of Kubernetes. No cluster is asked, nothing is changed. It takes a second, for
a lone look proves nothing: a container that starts is in the node's namespaces for a moment.

For each container and each kind of namespace the table tells a level, that of its lowest process:

  Host       shares the machine's namespace
  Foreign    is in a namespace that belongs to another pod or container
  Pod        shares it within its pod; the most there is for network, ipc, uts and user
  Container  has its own
  Unknown    could not be read; why is told

A level is what there is, good or bad: a container may be meant to have the host's network. Found
to be wrong is, whatever was meant:

  Escape     a process of the container is below where the container started
  Foreign    it is in a namespace that another pod or container owns
  Leak       what a process has open leads to the machine or into another container
  Breach     with --policy: it has less than the policy requires
  Unverified it could not be seen

Run it as root on the machine itself. From within a container it sees that container only, unless
the host's /proc is mounted and named with --proc.

Exit code: 0 nothing is wrong or nothing is known, 1 something is wrong, 2 a bad call. What could
not be read is told on standard error and is no reason for a code.`,
		Example: `  # How isolated are the containers of this machine?
  sudo bulkhead scan

  # Which of them share the machine's network?
  sudo bulkhead scan -o json | jq -r '.containers[] | select(.axes.network.level == "Host") | .id'

  # Fail if a container has less than the policy requires
  sudo bulkhead scan --policy policy.yaml

  # From a container with the host's /proc mounted
  docker run --rm --pid host --cap-add SYS_PTRACE -v /proc:/host/proc:ro IMAGE scan --proc /host/proc`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.proc, "proc", "/proc", "the `folder` where the machine's procfs is mounted")
	f.StringArrayVar(&o.policies, "policy", nil, "IsolationPolicies whose levels are required: a `file`, a folder, or - for standard input; can be repeated")
	f.BoolVar(&o.sandboxes, "sandboxes", false, `show the containers that hold a pod's namespaces ("pause") as well`)
	f.StringVarP(&o.output, "output", "o", "table", "table, json or yaml")
	return c
}

func (o *options) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	if !slices.Contains([]string{"table", "json", "yaml"}, o.output) {
		return bad(fmt.Errorf("--output %q: it can be table, json or yaml", o.output))
	}
	required, err := o.required(in, errOut)
	if err != nil {
		return bad(err)
	}
	tree, err := procns.Open(o.proc)
	if err != nil {
		return bad(errors.New(isolation.Sanitize(err.Error(), messageLimit)))
	}
	defer func() { _ = tree.Close() }() // nothing was written
	s, err := look(ctx, tree, clock{})
	if err != nil {
		return bad(errors.New(isolation.Sanitize(err.Error(), messageLimit)))
	}
	r := resultOf(s, required, o.sandboxes)
	for _, note := range notesOn(s, &r, o.proc) {
		fmt.Fprintf(errOut, "note: %s\n", note)
	}
	if err := print(out, o.output, &r); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if r.wrong() {
		return &exit.Error{Code: exitFindings}
	}
	return nil
}

func bad(err error) error { return &exit.Error{Code: exitBadUsage, Err: err} }

// required loads the policies, and tells what of them a scan cannot judge.
func (o *options) required(in io.Reader, errOut io.Writer) ([]*isolation.Policy, error) {
	if len(o.policies) == 0 {
		return nil, nil
	}
	if i := slices.Index(o.policies, manifest.Stdin); i >= 0 && slices.Contains(o.policies[i+1:], manifest.Stdin) {
		return nil, errors.New("standard input (-) can be named once only")
	}
	loaded := policies.Load(&manifest.Reader{In: in}, o.policies)
	for _, note := range loaded.Notes {
		fmt.Fprintf(errOut, "note: %s\n", note)
	}
	for _, p := range loaded.Problems {
		fmt.Fprintf(errOut, "error: %v\n", p)
	}
	if len(loaded.Problems) > 0 {
		return nil, errors.New("bad policy, nothing was read")
	}
	fmt.Fprintln(errOut, "note: a scan knows neither pods nor their specs: policies are held against every container, their match, exemptions and portals are left aside")
	return loaded.Policies, nil
}
