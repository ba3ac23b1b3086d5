// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
)

// exitUnread is the exit code of a bad call and of a cluster that could not be read.
const exitUnread = 2

const long = `Report the isolation of a whole cluster: by policy what its status says, by namespace and by node how many
pods are breached, violating or unverified and the lowest levels among them, of each node how its agent is,
and pod by pod the level that was observed on each axis beside what is required. What nobody saw is Unknown,
and passes nowhere.

  table  for a terminal, the worst first
  html   one file that needs nothing else: for a browser, light or dark, and for paper
  json   all of it; apiVersion ` + APIVersion + `, kind IsolationOverview
  yaml   the same

It reads policies, pods, namespaces, nodes, runtime classes, and the reports and Leases of the agents, with
the rights of whoever calls it, page by page, and changes nothing.

Exit code: 0 the report was written, whatever it says; 2 a bad call, or the cluster could not be read.`

const examples = `  # The cluster at a glance
  bulkhead report

  # For a browser
  bulkhead report -o html > report.html

  # Which pods of a namespace has nobody seen?
  bulkhead report -n shop -o json | jq -r '.pods[] | select(.unseen) | .name + ": " + .unseen'`

const usernsLong = `Report which pods run with root as root on their node, which of them could set hostUsers: false as they are,
and what stands in the way of the others:

  Refused  the API server would refuse the pod
  Fails    it would not start on its node, or not work there
  Weakens  it would start, and have less power over its node than it asks for
  Unclear  cannot be told from spec and node, such as the file system behind a claim

A pod is ready if there is nothing of all that. -o json and yaml have all of it; apiVersion
` + APIVersion + `, kind UserNamespaceReadiness.

Exit code: 0 the report was written, whatever it says; 2 a bad call, or the cluster could not be read.`

// options are the flags.
type options struct {
	flags   *genericclioptions.ConfigFlags
	install string
	only    []string
	output  string
	limit   int
}

// value is what there is to show.
type value interface {
	tables(out io.Writer, limit int) error
}

// Command is the command "report".
func Command() *cobra.Command {
	o := newOptions()
	c := &cobra.Command{
		Use: "report", Short: "Report the isolation of a whole cluster", Long: long, Example: examples, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c, []string{"table", "json", "yaml", "html"}, readOverview)
		},
	}
	c.Flags().StringSliceVar(&o.only, "policy", nil, "judge by the IsolationPolicies of these `names` alone, and show the pods that they match")
	o.addFlags(c, "table, json, yaml or html")
	c.AddCommand(usernsCommand())
	return c
}

func usernsCommand() *cobra.Command {
	o := newOptions()
	c := &cobra.Command{
		Use: "userns", Short: "Report which pods are ready for a user namespace of their own", Long: usernsLong, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c, []string{"table", "json", "yaml"}, readReadiness)
		},
	}
	o.addFlags(c, "table, json or yaml")
	return c
}

func newOptions() *options {
	return &options{flags: genericclioptions.NewConfigFlags(true), install: v1alpha1.InstallNamespace}
}

func (o *options) addFlags(c *cobra.Command, formats string) {
	c.Flags().StringVarP(&o.output, "output", "o", "table", formats)
	c.Flags().IntVar(&o.limit, "limit", -1, "the most `rows` in each table; 0 for all; 50 in a terminal and 1000 in html if it is not set")
	c.Flags().StringVar(&o.install, "bulkhead-namespace", o.install, "the `namespace` where Bulkhead is installed")
	o.flags.AddFlags(c.Flags())
	c.Flags().Lookup("namespace").Usage = "Only the pods of this namespace; without it, those of all"
}

// run reads with the function and shows what that made.
func (o *options) run(c *cobra.Command, formats []string, read func(*cobra.Command, *options, *surroundings) (value, error)) error {
	if !slices.Contains(formats, o.output) {
		return bad(fmt.Errorf("--output %q: it can be %s", o.output, strings.Join(formats, ", ")))
	}
	if o.limit < -1 {
		return bad(fmt.Errorf("--limit %d: it cannot be negative; 0 shows all", o.limit))
	}
	in := &surroundings{Namespace: ptr.Deref(o.flags.Namespace, ""), Only: o.only}
	v, err := read(c, o, in)
	if err != nil {
		return bad(err)
	}
	if err := o.print(c.OutOrStdout(), v); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func bad(err error) error { return &exit.Error{Code: exitUnread, Err: err} }

func readOverview(c *cobra.Command, o *options, in *surroundings) (value, error) {
	var b *builder
	start := func() (err error) {
		b, err = newBuilder(in)
		return err
	}
	if err := o.gather(c, in, start, func(pod *corev1.Pod) { b.pod(pod) }); err != nil {
		return nil, err
	}
	return b.done(), nil
}

func readReadiness(c *cobra.Command, o *options, in *surroundings) (value, error) {
	var b *readinessBuilder
	start := func() error {
		b = newReadinessBuilder(in)
		return nil
	}
	if err := o.gather(c, in, start, func(pod *corev1.Pod) { b.pod(pod) }); err != nil {
		return nil, err
	}
	return b.done(), nil
}

// gather reads the surroundings, starts to build, and visits the pods. The moment is after all that was
// read before: an agent's sign of life cannot be from the future for that.
func (o *options) gather(c *cobra.Command, in *surroundings, start func() error, visit func(*corev1.Pod)) error {
	reader, _, err := cluster.Connect(o.flags)
	if err != nil {
		return err
	}
	if err := in.read(c.Context(), reader, o.install); err != nil {
		return err
	}
	in.Now = time.Now()
	if err := start(); err != nil {
		return err
	}
	return in.eachPod(c.Context(), reader, visit)
}

// print shows the value in the format.
func (o *options) print(out io.Writer, v value) error {
	w := bufio.NewWriter(out)
	var err error
	switch o.output {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(v)
	case "yaml":
		var text []byte
		if text, err = yaml.Marshal(v); err == nil {
			_, err = w.Write(text)
		}
	case "html":
		err = writeHTML(w, v.(*overview), o.rows(1000))
	default:
		err = v.tables(w, o.rows(50))
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// rows is the limit, or what it is if nobody sets it.
func (o *options) rows(otherwise int) int {
	if o.limit < 0 {
		return otherwise
	}
	return o.limit
}
