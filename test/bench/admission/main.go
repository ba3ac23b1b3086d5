// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command admission measures what admission costs: server-side dry-run creates of one compliant
// pod, with no policy, under Pod Security, under Bulkhead's ValidatingAdmissionPolicies and under
// Bulkhead's webhook, on one real API server. They take turns in every round, there and back
// (ABCD, DCBA), so that a machine that grows slower or faster meets all of them alike. Ten policies
// are loaded for each engine. All of them match the pod; of the ValidatingAdmissionPolicies, which the
// API server evaluates one by one, there is a case in which three do.
//
// The namespace selects the case. That costs the other cases what an API server spends to find that
// nothing matches; a last case, before anything of Bulkhead is installed and after all of it is
// gone, shows how much that is.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

// options come from the environment: `make bench-admission ROUNDS=20` sets them.
type options struct {
	// rounds in which every case has its turn with every number of clients. Medians need at
	// least six for an interval of 95%. Many short ones tell more than few long ones: a machine's
	// pace changes from one second to the next.
	rounds int
	// duration of one turn.
	duration time.Duration
	// clients at once, one figure for each number.
	clients []int
	// profile the manager's CPU.
	profile bool
	// out is the folder of the results.
	out string
}

const (
	defaultRounds   = 30
	defaultDuration = 600 * time.Millisecond
	// warmUp before each turn is not counted: connections, caches and the processor's clock.
	warmUp = 200 * time.Millisecond
)

func main() {
	// Nothing that was started is left running, whoever ends this.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measure(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-admission: %v\n", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context) error {
	o, err := fromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	b := &bench{options: o, result: result{Machine: process.Here()}}
	defer b.close()
	if err := b.run(ctx); err != nil {
		return err
	}
	return b.result.write(os.Stdout, o.out)
}

// fromEnvironment reads the options.
func fromEnvironment(get func(string) string) (*options, error) {
	o := &options{
		rounds: defaultRounds, duration: defaultDuration, clients: []int{1, 16},
		profile: get("PROFILE") != "" && get("PROFILE") != "0", out: "bin",
	}
	if v := get("ROUNDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("ROUNDS=%q: it is a number of rounds, at least 1", v)
		}
		o.rounds = n
	}
	if v := get("DURATION"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("DURATION=%q: it is how long one turn takes, such as 2s", v)
		}
		o.duration = d
	}
	if v := get("CLIENTS"); v != "" {
		o.clients = nil
		for _, s := range strings.Split(v, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil || n < 1 {
				return nil, fmt.Errorf("CLIENTS=%q: they are numbers with commas between, such as 1,16", v)
			}
			o.clients = append(o.clients, n)
		}
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS does not say where kube-apiserver and etcd are: run `make bench-admission`")
	}
	return o, nil
}

// The cases, in the order in which they are shown.
const (
	caseBare    = "nothing installed"
	caseNone    = "no policy"
	casePSA     = "Pod Security"
	caseFew     = "Bulkhead VAP, 3 match"
	caseVAP     = "Bulkhead VAP"
	caseWebhook = "Bulkhead webhook"
)

// namespaces of the cases.
var namespaces = map[string]string{
	caseBare: "bench-none", caseNone: "bench-none", casePSA: "bench-pod-security",
	caseFew: "bench-vap-few", caseVAP: "bench-vap", caseWebhook: "bench-webhook",
}

// bench is one run.
type bench struct {
	*options
	server  *server
	manager *manager
	load    *load
	result  result
	dir     string
}

func (b *bench) close() {
	if b.manager != nil {
		b.manager.Stop()
	}
	if b.server != nil {
		b.server.stop()
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

func (b *bench) run(ctx context.Context) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "bulkhead-bench-"); err != nil {
		return err
	}
	progress("building the manager")
	binary, err := buildManager(ctx, b.dir, b.profile)
	if err != nil {
		return err
	}
	progress("starting an API server")
	if b.server, err = startServer(ctx, b.dir); err != nil {
		return err
	}
	if b.load, err = newLoad(b.server); err != nil {
		return err
	}
	b.result.Kubernetes, b.result.Policies = b.server.version, len(policies())

	// One round to warm up, which is thrown away.
	if err := b.rounds(ctx, "warming up", 1, caseBare); err != nil {
		return err
	}
	b.result.Windows = nil
	around := (b.options.rounds + 1) / 2
	if err := b.rounds(ctx, "before Bulkhead", around, caseBare); err != nil {
		return err
	}
	progress("installing Bulkhead")
	if b.manager, err = b.server.install(ctx, binary, b.dir, b.profile); err != nil {
		return err
	}
	if err := b.rounds(ctx, "round", b.options.rounds, caseNone, casePSA, caseFew, caseVAP, caseWebhook); err != nil {
		return err
	}
	if err := b.settle(ctx, binary); err != nil {
		return err
	}
	progress("removing Bulkhead")
	if err := b.server.uninstall(ctx, b.manager); err != nil {
		return err
	}
	b.manager = nil
	return b.rounds(ctx, "after Bulkhead", around, caseBare)
}

// settle takes what only the manager knows, while it lives.
func (b *bench) settle(ctx context.Context, binary string) error {
	var err error
	if b.result.Memory, err = process.MemoryOf(b.manager.PID()); err != nil {
		return err
	}
	if b.profile {
		b.result.Profile, err = b.manager.profileText(ctx, binary, b.out)
	}
	return err
}

// rounds gives every case its turn with every number of clients, there and back.
func (b *bench) rounds(ctx context.Context, what string, n int, cases ...string) error {
	for round := range n {
		progress("%s %d of %d", what, round+1, n)
		for _, clients := range b.clients {
			for i := range cases {
				c := cases[i]
				if round%2 == 1 {
					c = cases[len(cases)-1-i]
				}
				w, err := b.load.turn(ctx, b.manager, c, clients, b.duration)
				if err != nil {
					return fmt.Errorf("%s, %d clients: %w", c, clients, err)
				}
				w.Round = round
				b.result.Windows = append(b.result.Windows, *w)
			}
		}
	}
	return nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench-admission: "+format+"\n", args...)
}
