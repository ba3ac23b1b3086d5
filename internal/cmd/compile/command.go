// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
)

// exitBadInput is the exit code of everything that goes wrong.
const exitBadInput = 2

const long = `Print the ValidatingAdmissionPolicies and bindings that IsolationPolicies become, without a cluster.

An API server evaluates them itself, with no webhook in the way. In a cluster with Bulkhead the manager
writes and keeps them for each policy whose engine is ValidatingAdmissionPolicy. What is printed here
enforces the same without Bulkhead: apply it, keep it in git, or let an API server load it at its start.
It is nobody's: what was printed is printed anew when a policy changes.

Every policy is compiled, whatever its engine. Input is read strictly: a misspelt field is an error.

With --static the names end in .static.k8s.io, for an API server that loads policies from files, where
nobody can delete them: Kubernetes 1.36 and later with the feature gate ManifestBasedAdmissionControlConfig,
and the folder named as staticManifestsDir in the configuration of its plugin ValidatingAdmissionPolicy.
Such names cannot be created through the API.

Exit code: 0 everything was printed, 2 bad input; then nothing is printed.`

const examples = `  # Enforce a policy in a cluster without Bulkhead
  bulkhead compile -f policy.yaml | kubectl apply -f -

  # Read what a policy becomes
  bulkhead compile -f policy.yaml | less

  # Let an API server load a folder of policies at its start
  bulkhead compile -f policies/ --static > /etc/kubernetes/admission/validating-policies/bulkhead.yaml`

// options are the flags.
type options struct {
	files     []string
	recursive bool
	excluded  []string
	output    string
	static    bool
}

// Command is the command "compile".
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:     "compile -f POLICY",
		Short:   "Print what policies become in the API server's own language, without a cluster",
		Long:    long,
		Example: examples,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringSliceVarP(&o.files, "filename", "f", nil, "IsolationPolicies: `files`, folders, or - for standard input; can be repeated")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "read the folders below a folder as well")
	f.StringSliceVar(&o.excluded, "excluded-namespaces", v1alpha1.ExcludedNamespaces(v1alpha1.InstallNamespace, nil),
		"`namespaces` whose pods are not judged")
	f.StringVarP(&o.output, "output", "o", "yaml", "`format`: yaml or json")
	f.BoolVar(&o.static, "static", false, "for an API server that loads policies from files: names end in "+staticSuffix)
	if err := c.MarkFlagRequired("filename"); err != nil {
		panic(err) // the flag is defined right above
	}
	return c
}

func (o *options) run(in io.Reader, out, errOut io.Writer) error {
	if o.output != "yaml" && o.output != "json" {
		return &exit.Error{Code: exitBadInput, Err: fmt.Errorf("--output %q: it can be yaml or json", o.output)}
	}
	loaded := policies.Load(&manifest.Reader{In: in, Recursive: o.recursive}, o.files)
	for _, note := range loaded.Notes {
		fmt.Fprintf(errOut, "note: %s\n", note)
	}
	objects, problems := o.compileAll(loaded.Sources)
	problems = append(loaded.Problems, problems...)
	if len(problems) > 0 {
		for _, p := range problems {
			fmt.Fprintf(errOut, "error: %v\n", p)
		}
		return &exit.Error{Code: exitBadInput, Err: errors.New("bad input, nothing was compiled")}
	}
	if err := print(out, o.output, objects); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
