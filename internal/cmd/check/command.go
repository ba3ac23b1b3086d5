// SPDX-License-Identifier: Apache-2.0

package check

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/words"
)

// Exit codes beside 0.
const (
	exitFailed   = 1
	exitBadInput = 2
)

// options are the flags.
type options struct {
	files, policies, namespaces []string
	kustomization               string
	namespace                   string
	excluded                    []string
	recursive                   bool
	output, failOn              string
	now                         string
	version                     string // of this program
}

// limits are the values of --fail-on: the verdict from which on a run fails.
var limits = map[string]verdict{"deny": denied, "warn": warned, "audit": audited}

const long = `Judge pods, and the pod templates of workloads, by IsolationPolicies, without a cluster.

Judged are Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob, ReplicationController,
PodTemplate, and lists of them. The verdict of several policies is the worst of theirs:

  denied    a policy whose action is Deny requires more isolation than the spec asks for
  warned    the same, with the action Warn
  audited   the same, with the action Audit
  exempt    an exemption opens what the spec asks for
  excluded  admission does not ask about this namespace, see --excluded-namespaces
  allowed   nothing is asked for that a policy forbids

Every violation is told with its file and line, as a table for people, and as JSON, YAML, SARIF 2.1.0
(GitHub code scanning and most editors read it) or JUnit (GitLab, Jenkins) for programs.

Policies select by labels of namespaces. These are taken from Namespace objects in the input and
from --namespaces; a namespace that is in neither is taken to match every selector.

Input is read strictly: a misspelt field, a key that is there twice or half a document is an error,
never a pass. Then everything that is wrong is told, and nothing is judged.

Exit code: 0 no verdict is as bad as --fail-on says, 1 one is, 2 bad input.`

const examples = `  # Judge a folder of manifests
  bulkhead check -f manifests/ --policy policies/

  # Judge what kustomize builds, and what a chart renders, with the labels of the cluster's namespaces
  kubectl get namespaces -o yaml > namespaces.yaml
  bulkhead check -k overlays/prod --policy policies/ --namespaces namespaces.yaml
  helm template CHART --namespace web | bulkhead check -f - -n web --policy policies/ --namespaces namespaces.yaml

  # Judge what runs now, and list what is denied
  kubectl get pods -A -o json | bulkhead check -f - --policy policies/ -o json |
    jq -r '.results[] | select(.verdict == "denied") | .namespace + "/" + .name'

  # GitHub code scanning: upload the file with github/codeql-action/upload-sarif
  bulkhead check -f manifests/ --policy policies/ -o sarif > bulkhead.sarif

  # GitLab: name the file in artifacts:reports:junit; fail on what would only be warned of as well
  bulkhead check -f manifests/ --policy policies/ -o junit --fail-on warn > bulkhead.xml

  # Will an exemption still hold next year?
  bulkhead check -f pod.yaml --policy policies/ --now 2027-01-01T00:00:00Z`

// Command is the command "check".
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:     "check (-f FILE | -k FOLDER) --policy FILE",
		Short:   "Judge manifests by policies, without a cluster",
		Long:    long,
		Example: examples,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.version = c.Root().Version
			return o.run(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	// The three that kubectl has, as it has them.
	f.StringSliceVarP(&o.files, "filename", "f", nil, "manifests to judge: `files`, folders, patterns, or - for standard input; can be repeated")
	f.StringVarP(&o.kustomization, "kustomize", "k", "", "judge what kustomize builds from a `folder`; not together with -f or -R")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "read the folders below a folder as well")
	f.StringArrayVar(&o.policies, "policy", nil, "IsolationPolicies to judge by: a `file`, a folder, or -; can be repeated")
	f.StringArrayVar(&o.namespaces, "namespaces", nil, "Namespace objects, for their labels: a `file`, a folder, or -; can be repeated")
	f.StringVarP(&o.namespace, "namespace", "n", "default", "the `namespace` of manifests that name none")
	f.StringSliceVar(&o.excluded, "excluded-namespaces", v1alpha1.ExcludedNamespaces(v1alpha1.InstallNamespace, nil),
		"`namespaces` about which admission does not ask, as installed")
	f.StringVarP(&o.output, "output", "o", "table", "`format`: "+words.Or(formats()))
	f.StringVar(&o.failOn, "fail-on", "deny", "the `action` of policies whose violation makes the exit code 1: deny, warn (and deny) or audit (all)")
	f.StringVar(&o.now, "now", "", "the `time` at which exemptions must not have expired, such as 2027-01-01T00:00:00Z (default the present)")
	if err := c.MarkFlagRequired("policy"); err != nil {
		panic(err) // the flag is defined right above
	}
	c.MarkFlagsOneRequired("filename", "kustomize")
	c.MarkFlagsMutuallyExclusive("filename", "kustomize")
	c.MarkFlagsMutuallyExclusive("recursive", "kustomize")
	return c
}

func (o *options) run(in io.Reader, out, errOut io.Writer) error {
	now, err := o.validate()
	if err != nil {
		return &exit.Error{Code: exitBadInput, Err: err}
	}
	defer sparing()()
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
	results, notes := g.results()
	for _, note := range notes {
		fmt.Fprintf(errOut, "note: %s\n", note)
	}
	limit := limits[o.failOn]
	report := &report{results: results, limit: limit, version: o.version}
	if err := report.print(out, o.output); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if slices.ContainsFunc(results, func(r result) bool { return r.Verdict.reaches(limit) }) {
		return &exit.Error{Code: exitFailed}
	}
	return nil
}

// validate checks the flags, and tells the time to judge at.
func (o *options) validate() (now time.Time, err error) {
	if printers[o.output] == nil {
		return now, fmt.Errorf("--output %q: it can be %s", o.output, words.Or(formats()))
	}
	if _, ok := limits[o.failOn]; !ok {
		return now, fmt.Errorf("--fail-on %q: it can be deny, warn or audit", o.failOn)
	}
	streams := 0
	for _, arg := range slices.Concat(o.files, o.policies, o.namespaces) {
		if arg == manifest.Stdin {
			streams++
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

// manifests are what to judge.
func (o *options) manifests() manifest.Arguments {
	args := manifest.Arguments{Files: o.files}
	if o.kustomization != "" {
		args.Kustomizations = []string{o.kustomization}
	}
	return args
}
