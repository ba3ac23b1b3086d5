// SPDX-License-Identifier: Apache-2.0

// Package lifecycle brings clusters up and takes them down again.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/api"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/image"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/machine"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/network"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/node"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/pki"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// startTimeout is many times what a start takes.
const startTimeout = 2 * time.Minute

// Options say what cluster is wanted.
type Options struct {
	Name       string
	Nodes      int
	Kubeconfig string // where to put a copy of the kubeconfig, if set

	// KubeBin, NodeBin and Pause are what was built.
	KubeBin, NodeBin, Pause string

	// Out is told how far it is.
	Out io.Writer
}

// Up brings a cluster up and leaves it running. If it fails, or ctx ends, nothing
// of the cluster is left.
func Up(ctx context.Context, options Options) error {
	dir, err := state.DirOf(options.Name)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if up, err := IsUp(dir); err != nil || up {
		return err // another launcher was faster
	}
	if _, err := os.Stat(string(dir)); err == nil {
		fmt.Fprintln(options.Out, "Removing what an earlier cluster left behind.")
		if err := takeDown(dir, options.Name); err != nil {
			return err
		}
	}
	if err := bringUp(ctx, dir, options); err != nil {
		fmt.Fprintf(options.Out, "The cluster did not start: taking it down again.\n%s", Explain(dir))
		return errors.Join(err, takeDown(dir, options.Name))
	}
	return nil
}

// IsUp tells whether the cluster in dir is up.
func IsUp(dir state.Dir) (bool, error) {
	pid, err := state.MachinePID(dir)
	return pid != 0, err
}

func bringUp(ctx context.Context, dir state.Dir, options Options) error {
	begin := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(options.Out, "%5.1fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	cluster, err := prepare(dir, options)
	if err != nil {
		return err
	}
	say("prepared keys, images and %d nodes in %s", len(cluster.Nodes), dir)
	process, err := machine.Start(dir)
	if err != nil {
		return err
	}
	err = connect(cluster, process)
	if err == nil {
		say("started the control plane and the nodes")
		err = waitReady(ctx, dir, cluster, process)
	}
	if err != nil {
		process.Stop()
		return err
	}
	say("the API server, %d nodes and kube-proxy are ready", len(cluster.Nodes))
	return CopyKubeconfig(dir, options.Kubeconfig)
}

func connect(cluster *state.Cluster, process *machine.Process) error {
	if err := network.ConnectHost(cluster, process.PID); err != nil {
		return err
	}
	return process.Go()
}

// prepare writes everything that the cluster's processes read.
func prepare(dir state.Dir, options Options) (*state.Cluster, error) {
	if err := os.MkdirAll(dir.Logs(), 0o700); err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := os.Chmod(string(dir), 0o700); err != nil {
		return nil, fmt.Errorf("keep the cluster's folder to root: %w", err)
	}
	subnet, err := network.FindFree()
	if err != nil {
		return nil, err
	}
	sysctls, err := readSysctls()
	if err != nil {
		return nil, err
	}
	cluster := &state.Cluster{
		Name:    options.Name,
		Network: subnet,
		Nodes:   subnet.MakeNodes(options.Name, options.Nodes),
		KubeBin: options.KubeBin,
		NodeBin: options.NodeBin,
		Sysctls: sysctls,
	}
	if err := cluster.Save(dir); err != nil {
		return nil, err
	}
	if err := copyLauncher(dir); err != nil {
		return nil, err
	}
	if err := pki.WriteAll(dir, cluster); err != nil {
		return nil, err
	}
	if err := image.WriteAll(dir.Images(), options.Pause); err != nil {
		return nil, err
	}
	for _, n := range cluster.Nodes {
		if err := node.Prepare(dir, cluster, n); err != nil {
			return nil, err
		}
	}
	return cluster, nil
}

func copyLauncher(dir state.Dir) error {
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("read the launcher: %w", err)
	}
	if err := os.WriteFile(dir.Launcher(), data, 0o700); err != nil {
		return fmt.Errorf("copy the launcher: %w", err)
	}
	return nil
}

// waitReady waits until the cluster is of use, or will not be.
func waitReady(ctx context.Context, dir state.Dir, cluster *state.Cluster, process *machine.Process) error {
	client, err := api.NewClient(dir, cluster)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	asking, stopAsking := context.WithCancel(ctx)
	go func() {
		<-process.Ended
		stopAsking() // nobody will answer any more
	}()
	for {
		missing := client.Ready(asking)
		if missing == nil {
			return nil
		}
		if failing := Failing(dir); failing != "" {
			return fmt.Errorf("%s keeps ending: its log is above", failing)
		}
		select {
		case <-process.Ended:
			return errors.New("the cluster's machine has ended: its log is above")
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("the cluster is not ready after %s: %w", startTimeout, missing)
			}
			return fmt.Errorf("interrupted: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
