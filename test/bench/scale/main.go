// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command scale measures what the manager costs in clusters of growing size, up to the limits that
// Kubernetes states for one: how much memory it takes, how long it is until every policy's status is
// true after a start, after a policy's edit and after one pod's change, and what it writes while nothing
// happens. API server, etcd and manager are real; nodes and pods are objects only.
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

// options come from the environment: `make bench-scale PARTS=8,1` sets them.
type options struct {
	// parts are the sizes: the largest cluster divided by each.
	parts []int
	// idle is how long nothing happens; 0 if that is not measured.
	idle time.Duration
	// out is the folder of the results.
	out string
}

func main() {
	// Nothing that was started is left running, whoever ends this.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measure(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-scale: %v\n", err)
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
	r := result{Machine: process.Here()}
	for _, part := range o.parts {
		one, err := runOne(ctx, largest.part(part), o.idle)
		if err != nil {
			return fmt.Errorf("a cluster 1/%d of the largest: %w", part, err)
		}
		r.Sizes = append(r.Sizes, *one)
	}
	return r.write(os.Stdout, o.out)
}

// fromEnvironment reads the options.
func fromEnvironment(get func(string) string) (*options, error) {
	o := &options{parts: []int{8, 4, 2, 1}, idle: time.Minute, out: "bin"}
	if v := get("PARTS"); v != "" {
		o.parts = nil
		for _, s := range strings.Split(v, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil || n < 1 || n > 100 {
				return nil, fmt.Errorf("PARTS=%q: they are numbers from 1 to 100 with commas between, such as 8,1", v)
			}
			o.parts = append(o.parts, n)
		}
	}
	if v := get("IDLE"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("IDLE=%q: it is how long nothing happens, such as 60s; 0 to leave that out", v)
		}
		o.idle = d
	}
	if get("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS does not say where kube-apiserver and etcd are: run `make bench-scale`")
	}
	return o, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench-scale: "+format+"\n", args...)
}
