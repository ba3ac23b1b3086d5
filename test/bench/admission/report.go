// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"

	"github.com/bulkhead-dev/bulkhead/test/bench/process"
)

// confidence of the intervals, at least. Of fewer than six rounds there is none.
const confidence = 0.95

// result is what a run found.
type result struct {
	Machine    process.Machine
	Kubernetes string
	Policies   int
	// Memory of the manager, after the last round.
	Memory process.Memory
	// Summary of the windows, and the windows themselves.
	Summary []summary
	Windows []window
	// Profile is text, if a profile was asked for.
	Profile string `json:",omitempty"`
}

// figure is a median over rounds and its confidence interval, by order statistics: nothing is
// assumed of how the values are distributed.
type figure struct{ Median, Low, High float64 }

func figureOf(values []float64) figure {
	if len(values) == 0 {
		return figure{}
	}
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), confidence)
	f := figure{s.Center, s.Lo, s.Hi}
	if len(values) < 6 {
		// The interval would be without bounds, which JSON cannot say.
		f.Low, f.High = slices.Min(values), slices.Max(values)
	}
	return f
}

// show says the median, and how far the interval reaches from it.
func (f figure) show(format, unit string) string {
	if f.Median == 0 {
		return "-"
	}
	off := max(f.High/f.Median-1, 1-f.Low/f.Median)
	return fmt.Sprintf(format+"%s ±%.0f%%", f.Median, unit, 100*off)
}

// summary is what one case did with one number of clients.
type summary struct {
	Case    string
	Clients int
	Rounds  int
	// Rate in requests per second, and as a share of the rate without a policy in the same round.
	Rate, RateToNone figure
	P50, P99         figure // ms
	// Processor time in microseconds, per request and per review.
	APIServerCPU, EtcdCPU, ClientCPU, ReviewCPU figure
	OthersCPU                                   figure
}

// summarize puts the windows of each case together, in the order in which they first appear.
func summarize(windows []window) []summary {
	type key struct {
		clients int
		name    string
	}
	groups, order := make(map[key][]window), []key(nil)
	for _, w := range windows {
		k := key{w.Clients, w.Case}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], w)
	}
	slices.SortStableFunc(order, func(a, b key) int { return a.clients - b.clients })
	out := make([]summary, 0, len(order))
	for _, k := range order {
		g := groups[k]
		over := func(of func(*window) float64) figure {
			values := make([]float64, len(g))
			for i := range g {
				values[i] = of(&g[i])
			}
			return figureOf(values)
		}
		out = append(out, summary{
			Case: k.name, Clients: k.clients, Rounds: len(g),
			Rate: over((*window).Rate), RateToNone: toNone(g, groups[key{k.clients, caseNone}]),
			P50:          over(func(w *window) float64 { return w.P50 }),
			P99:          over(func(w *window) float64 { return w.P99 }),
			APIServerCPU: over(func(w *window) float64 { return w.APIServerCPU }),
			EtcdCPU:      over(func(w *window) float64 { return w.EtcdCPU }),
			ClientCPU:    over(func(w *window) float64 { return w.ClientCPU }),
			ReviewCPU:    over(func(w *window) float64 { return w.ReviewCPU }),
			OthersCPU:    over(func(w *window) float64 { return w.OthersCPU }),
		})
	}
	return out
}

// toNone compares each window with the one without a policy of the same round: what disturbs the
// machine for longer than a round disturbs both. Nothing installed has other rounds, and is compared
// with the median.
func toNone(g, none []window) figure {
	if len(none) == 0 {
		return figure{}
	}
	var all, values []float64
	byRound := make(map[int]float64, len(none))
	for i := range none {
		byRound[none[i].Round] = none[i].Rate()
		all = append(all, none[i].Rate())
	}
	median := figureOf(all).Median
	for i := range g {
		base, ok := byRound[g[i].Round]
		if !ok || g[i].Case == caseBare {
			base = median
		}
		values = append(values, g[i].Rate()/base)
	}
	return figureOf(values)
}

// write prints the tables and keeps everything in a file.
func (r *result) write(w io.Writer, folder string) error {
	r.Summary = summarize(r.Windows)
	file := filepath.Join(folder, "bench-admission.json")
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return errors.Join(os.WriteFile(file, append(b, '\n'), 0o644), r.print(w, file))
}

func (r *result) print(out io.Writer, file string) error {
	m := r.Machine
	fmt.Fprintf(out, "%d x %s, %d MiB; Linux %s, Kubernetes %s, %s; load average before: %s\n",
		m.Processors, m.Processor, m.MemoryBytes>>20, m.Kernel, r.Kubernetes, m.Go, m.Load)
	fmt.Fprintf(out, "%d policies for each engine, which match unless the case says how many; server-side dry-run creates of a pod; medians over rounds, ± the interval of at least %.0f%% confidence "+
		"(of fewer than six rounds, all values)\n", r.Policies, 100*confidence)
	clients := 0
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range r.Summary {
		s := &r.Summary[i]
		if s.Clients != clients {
			clients = s.Clients
			fmt.Fprintf(t, "\n%d client(s)\trequests/s\tof no policy\tp50\tp99\tCPU/request: API server\tetcd\tclient\tCPU/review: webhook\tothers\n", clients)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f%%\n", s.Case,
			s.Rate.show("%.0f", ""), s.RateToNone.show("%.3f", ""), s.P50.show("%.2f", " ms"), s.P99.show("%.2f", " ms"),
			s.APIServerCPU.show("%.0f", " µs"), s.EtcdCPU.show("%.0f", " µs"), s.ClientCPU.show("%.0f", " µs"),
			s.ReviewCPU.show("%.0f", " µs"), 100*s.OthersCPU.Median)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%q is before Bulkhead is installed and after it is gone: beside %q it shows what policies cost that match nothing.\n"+
		"\"others\" is the share of the processors that went to programs which are no part of this: the figures are as good as it is small.\n",
		caseBare, caseNone)
	fmt.Fprintf(out, "manager: %.1f MiB resident at most, %.1f MiB at the end: %.1f MiB of its own, the rest are pages of the program's file, and how many of those are mapped at once is the kernel's choice\n",
		mebibytes(r.Memory.Peak), mebibytes(r.Memory.Resident), mebibytes(r.Memory.Anonymous))
	r.printTargets(out)
	if r.Profile != "" {
		fmt.Fprintf(out, "\nWhere the manager's processor time goes:\n%s", r.Profile)
	}
	fmt.Fprintf(out, "every window: %s\n", file)
	return nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// The targets, for two processors and ten policies.
const (
	targetReviewCPU = 350 // µs
	targetMemory    = 64  // MiB
	targetVAP       = 0.9 // of the rate without a policy
)

// printTargets says which targets are met. It is no test: figures are the machine's.
func (r *result) printTargets(out io.Writer) {
	say := func(ok bool, format string, args ...any) {
		verdict := "missed"
		if ok {
			verdict = "met"
		}
		fmt.Fprintf(out, "target %s: "+format+"\n", append([]any{verdict}, args...)...)
	}
	for i := range r.Summary {
		s := &r.Summary[i]
		switch s.Case {
		case caseWebhook:
			say(s.ReviewCPU.Median <= targetReviewCPU, "webhook CPU per review with %d client(s) at most %d µs: %.0f µs", s.Clients, targetReviewCPU, s.ReviewCPU.Median)
		case caseFew:
			say(s.RateToNone.Median >= targetVAP, "VAP engine with %d client(s), %d policies that match, within 10%% of no policy: %.3f", s.Clients, few, s.RateToNone.Median)
		case caseVAP:
			say(s.RateToNone.Median >= targetVAP, "VAP engine with %d client(s), all policies match, within 10%% of no policy: %.3f", s.Clients, s.RateToNone.Median)
		}
	}
	say(mebibytes(r.Memory.Peak) <= targetMemory, "memory at most %d MiB: %.1f MiB", targetMemory, mebibytes(r.Memory.Peak))
}
