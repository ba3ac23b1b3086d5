// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/machine"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/node"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/process"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// OnNode returns a command that runs in all of a node's namespaces. It has nothing
// of the caller's environment but the terminal's name.
func OnNode(dir state.Dir, cluster *state.Cluster, name string, command []string) (*exec.Cmd, error) {
	if _, err := cluster.Node(name); err != nil {
		return nil, err
	}
	pid, err := nodePID(dir, name)
	if err != nil {
		return nil, err
	}
	// A Go program has threads, and those cannot change namespaces together.
	args := []string{"--target=" + strconv.Itoa(pid), "--pid", "--mount", "--uts", "--ipc", "--net", "--"}
	cmd := exec.Command("nsenter", append(args, command...)...)
	cmd.Env = []string{
		"PATH=" + node.Path,
		"HOME=/root",
		"TERM=" + os.Getenv("TERM"),
		"CONTAINERD_NAMESPACE=k8s.io",
	}
	return cmd, nil
}

// RunForwarding runs a command that OnNode returned, and ends it when the launcher
// is told to end. Ctrl-C needs no help: a terminal sends that to the command, too.
func RunForwarding(command *exec.Cmd) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	if err := command.Start(); err != nil {
		return fmt.Errorf("run %s: %w", command.Path, err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-ended:
				return
			case received := <-signals:
				forward(command.Process.Pid, received.(unix.Signal))
			}
		}
	}()
	return command.Wait()
}

// forward sends a signal to the children of nsenter: it waits for the command that
// it runs, but does not pass signals on.
func forward(nsenter int, received unix.Signal) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", nsenter))
	if err != nil {
		return // it has ended by itself
	}
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil {
			unix.Kill(pid, received) //nolint:errcheck // it has ended by itself
		}
	}
}

// PID returns the pid that a component has on this machine.
func PID(dir state.Dir, component Component) (int, error) {
	if component.Name == machine.LogName {
		return state.MachinePID(dir)
	}
	if component.Status.PID == 0 {
		return 0, fmt.Errorf("%s does not run", component.Name)
	}
	if component.Node != "" {
		init, err := nodePID(dir, component.Node)
		if err != nil {
			return 0, err
		}
		return process.FindInside(init, component.Status.PID)
	}
	init, err := state.MachinePID(dir)
	if err != nil || init == 0 {
		return 0, errors.Join(err, errors.New("the cluster is not up"))
	}
	return process.FindInside(init, component.Status.PID)
}

// nodePID returns the pid that a node's first process has on this machine.
func nodePID(dir state.Dir, node string) (int, error) {
	status, err := process.ReadStatus(dir.Logs())
	if err != nil {
		return 0, err
	}
	return PID(dir, Component{Name: node, Status: status[node]})
}
