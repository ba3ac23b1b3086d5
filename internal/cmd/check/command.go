// SPDX-License-Identifier: Apache-2.0

package check

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Exit codes beside 0.
const (
	exitDenied   = 1
	exitBadInput = 2
)

// options are the flags.
type options struct {
	files, policies, namespaces []string
	namespace                   string
	recursive                   bool
	output                      string
	now                         string
}

// Command is the command "check".
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "check -f FILE --policy FILE",
		Short: "Judge manifests by policies, without a cluster",
		Long: `Judge pods, and the pod templates of workloads, by IsolationPolicies, without a cluster.

Judged are Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob, ReplicationController,
PodTemplate, and lists of them. The verdict of several policies is the worst of theirs:

  denied    a policy whose action is Deny requires more isolation than the spec asks for
  warned    the same, with the action Warn
  audited   the same, with the action Audit
  exempt    an exemption opens what the spec asks for
  allowed   nothing is asked for that a policy forbids

Policies select by labels of namespaces. These are taken from Namespace objects in the input and
from --namespaces; a namespace that is in neither is taken to match every selector.

Input is read strictly: a misspelt field, a key that is there twice or half a document is an error,
never a pass. Then everything that is wrong is told, and nothing is judged.

Exit code: 0 nothing is denied, 1 something is denied, 2 bad input.`,
		Example: `  # Judge a folder of manifests
  bulkhead check -f manifests/ --policy policies/

  # Judge what a chart renders, with the labels of the cluster's namespaces
  kubectl get namespaces -o yaml > namespaces.yaml
  helm template CHART --namespace web | bulkhead check -f - -n web --policy policies/ --namespaces namespaces.yaml

  # Judge what runs now, and list what is denied
  kubectl get pods -A -o json | bulkhead check -f - --policy policies/ -o json |
    jq -r '.results[] | select(.verdict == "denied") | .namespace + "/" + .name'

  # Will an exemption still hold next year?
  bulkhead check -f pod.yaml --policy policies/ --now 2027-01-01T00:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "manifests to judge: a `file`, a folder, or - for standard input; can be repeated")
	f.StringArrayVar(&o.policies, "policy", nil, "IsolationPolicies to judge by: a `file`, a folder, or -; can be repeated")
	f.StringArrayVar(&o.namespaces, "namespaces", nil, "Namespace objects, for their labels: a `file`, a folder, or -; can be repeated")
	f.StringVarP(&o.namespace, "namespace", "n", "default", "the `namespace` of manifests that name none")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "read the folders below a folder as well")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	f.StringVar(&o.now, "now", "", "the `time` at which exemptions must not have expired, such as 2027-01-01T00:00:00Z (default the present)")
	for _, name := range []string{"filename", "policy"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined right above
		}
	}
	return c
}

func (o *options) run(in io.Reader, out, errOut io.Writer) error {
	now, err := o.validate()
	if err != nil {
		return &exit.Error{Code: exitBadInput, Err: err}
	}
	r := &manifest.Reader{In: in, Recursive: o.recursive}
	g := gather(r, o, now)
	for _, note := range g.notes {
		fmt.Fprintf(errOut, "note: %s\n", note)
	}
	if len(g.problems) > 0 {
		for _, p := range g.problems {
			fmt.Fprintf(errOut, "error: %v\n", p)
		}
		return &exit.Error{Code: exitBadInput, Err: errors.New("bad input, nothing was judged")}
	}
	verdicts, notes := judgeAll(g)
	for _, note := range notes {
		fmt.Fprintf(errOut, "note: %s\n", note)
	}
	if err := print(out, o.output, verdicts); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	for i := range verdicts {
		if verdicts[i].Verdict == denied {
			return &exit.Error{Code: exitDenied}
		}
	}
	return nil
}

// validate checks the flags, and tells the time to judge at.
func (o *options) validate() (now time.Time, err error) {
	if o.output != "table" && o.output != "json" {
		return now, fmt.Errorf("--output %q: it can be table or json", o.output)
	}
	streams := 0
	for _, list := range [][]string{o.files, o.policies, o.namespaces} {
		for _, arg := range list {
			if arg == manifest.Stdin {
				streams++
			}
		}
	}
	if streams > 1 {
		return now, errors.New("standard input (-) can be named once only")
	}
	if o.now == "" {
		return time.Now(), nil
	}
	if now, err = time.Parse(time.RFC3339, o.now); err != nil {
		return now, fmt.Errorf("--now %q: it must be a time such as 2027-01-01T00:00:00Z", o.now)
	}
	return now, nil
}

// gathered is everything that the judgement needs.
type gathered struct {
	targets    []target
	policies   []*isolation.Policy
	namespaces namespaces
	notes      []string
	problems   []error
}

// gather reads all files.
func gather(r *manifest.Reader, o *options, now time.Time) *gathered {
	g := &gathered{namespaces: make(namespaces)}
	loaded := policies.Load(r, o.policies)
	g.policies = loaded.Policies
	g.notes, g.problems = loaded.Notes, loaded.Problems
	if len(o.namespaces) > 0 {
		g.takeNamespaces(r.Read(o.namespaces))
	}
	g.takeManifests(r.Read(o.files), o.namespace, now)
	return g
}
