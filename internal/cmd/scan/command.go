// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/words"
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
	proc     string
	policies []string
	shown    shown
	output   string
	watch    bool
	interval time.Duration
}

const long = `Read from this machine's /proc how isolated its containers are: those of docker, podman, containerd,
CRI-O, LXC and systemd-nspawn, those of Kubernetes, and processes that unshare(1), a sandbox or a browser
put into namespaces of their own. No cluster is asked, nothing is changed. It takes a second, for a lone
look proves nothing: a container that starts is in the machine's namespaces for a moment.

For each container and each kind of namespace the table tells a level, that of its lowest process:

  Host       shares the machine's namespace
  Foreign    is in a namespace that belongs to another pod or container
  Pod        shares it within its pod; the most there is for network, ipc, uts and user
  Container  has its own
  Unknown    could not be read; why is told

A level is what there is, good or bad: a container may be meant to have the host's network. Found
to be wrong is, whatever was meant:

  Escape     a process of the container is below where the container started, or has left its cgroup
  Foreign    it is in a namespace that another pod or container owns
  Leak       what a process has open leads to the machine or into another container
  Breach     with --policy: it has less than the policy requires
  Unverified it could not be seen

Below the containers stand processes that are in none, by the first of those that share namespaces, with
levels and without findings: nothing is known of how isolated they are meant to be.

  table  fits a terminal of 80 columns
  wide   also runtime, pod, processes, command and cgroup, and of findings what shows them
  json   all of it; with --watch one object after the other
  yaml   the same; with --watch one document after the other

Colours are for terminals, unless NO_COLOR is set.

Run it as root on the machine itself. Any other user sees the namespaces of their own processes: other
containers are Unknown, or are not there at all if /proc is mounted with hidepid, and both is told. From
within a container it sees that container only, unless the host's /proc is mounted and named with --proc.

Exit code: 0 nothing is wrong or nothing is known, 1 something is wrong, 2 a bad call. What could
not be read is told on standard error and is no reason for a code. With --watch it is the code of
the last look.`

const examples = `  # How isolated are the containers of this machine?
  sudo bulkhead scan

  # Whose processes are they, and how can a finding be checked?
  sudo bulkhead scan -o wide

  # Tell whenever something changes, until Ctrl-C
  sudo bulkhead scan --watch

  # Which of them share the machine's network?
  sudo bulkhead scan -o json | jq -r '.containers[] | select(.axes.network.level == "Host") | .id'

  # Fail if a container has less than the policy requires
  sudo bulkhead scan --policy policy.yaml

  # From a container with the host's /proc mounted
  docker run --rm --pid host --cap-add SYS_PTRACE -v /proc:/host/proc:ro IMAGE scan --proc /host/proc`

// Command is the command "scan".
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:     "scan",
		Short:   "Read how isolated this machine's containers are, without Kubernetes",
		Long:    long,
		Example: examples,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("interval") && !o.watch {
				return bad(errors.New("--interval says how often --watch looks: give both"))
			}
			return o.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.proc, "proc", "/proc", "the `folder` where the machine's procfs is mounted")
	f.StringArrayVar(&o.policies, "policy", nil, "IsolationPolicies whose levels are required: a `file`, a folder, or - for standard input; can be repeated")
	f.BoolVar(&o.shown.sandboxes, "sandboxes", false, `show the containers that hold a pod's namespaces ("pause") as well`)
	f.BoolVar(&o.shown.services, "services", false, "show processes outside of containers as well that have only mounts or the like of their own, as services do")
	f.StringVarP(&o.output, "output", "o", formats[0], "`format`: "+words.Or(formats))
	f.BoolVarP(&o.watch, "watch", "w", false, "look again and again, and tell what has changed, until interrupted")
	f.DurationVar(&o.interval, "interval", 10*time.Second, "how long after one look --watch takes the next")
	return c
}

// validate checks the flags.
func (o *options) validate() error {
	if !slices.Contains(formats, o.output) {
		return fmt.Errorf("--output %q: it can be %s", o.output, words.Or(formats))
	}
	if o.interval < isolation.ConfirmAfter {
		return fmt.Errorf("--interval %s: it must be %s or more: what is seen is believed when two looks that far apart show it", o.interval, isolation.ConfirmAfter)
	}
	return nil
}

// tabular tells whether the output is for people.
func (o *options) tabular() bool { return o.output == "table" || o.output == "wide" }

func (o *options) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	if err := o.validate(); err != nil {
		return bad(err)
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
	if o.watch {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
	}
	l := newLooker(tree)
	w := &shower{o: o, out: out, errOut: errOut, screen: screenOf(out)}
	for look := l.first; ; look = l.next(o.interval) {
		s, err := look(ctx)
		switch {
		case errors.Is(err, context.Canceled) && w.shown():
			return w.exit()
		case errors.Is(err, context.Canceled):
			return bad(errors.New("interrupted before anything was seen"))
		case err != nil:
			return bad(errors.New(isolation.Sanitize(err.Error(), messageLimit)))
		}
		r := resultOf(s, required, o.shown)
		if err := w.show(&r, notesOn(s, &r, reader{o.proc, os.Geteuid()})); err != nil {
			return err
		}
		if !o.watch {
			return w.exit()
		}
	}
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
