// SPDX-License-Identifier: Apache-2.0

// Package machine is the cluster's first process: the machine that the control
// plane runs on and that nodes hang off. It has PID, mount and network namespaces
// of its own. Every process, mount, link and firewall rule of the cluster is inside
// them, so that the kernel removes it all when this process ends, however it ends.
package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/api"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/network"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/node"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/process"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// Command is the launcher's hidden command that calls Run.
const Command = "machine"

// LogName is the file, among the cluster's logs, of the machine's own words.
const LogName = "machine"

// Process is a machine that was started.
type Process struct {
	PID int

	// Ended is closed when the machine has ended.
	Ended <-chan struct{}

	start io.WriteCloser
	kill  func() error
}

// Start starts the cluster's machine, which then waits for Go. Until then it can be
// connected, and it ends by itself if the caller dies.
func Start(dir state.Dir) (*Process, error) {
	log, err := os.OpenFile(dir.Logs(LogName+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the machine's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(dir.Launcher(), Command, string(dir))
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + node.Path}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Setsid:     true, // Ctrl-C is for the launcher, which then takes everything down in order
	}
	start, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the cluster's machine: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the cluster's machine: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // its log says why
		close(ended)
	}()
	return &Process{PID: cmd.Process.Pid, Ended: ended, start: start, kill: cmd.Process.Kill}, nil
}

// Go lets the machine begin.
func (p *Process) Go() error {
	if _, err := p.start.Write([]byte{1}); err != nil {
		return fmt.Errorf("let the cluster's machine begin: %w", err)
	}
	return nil
}

// Stop ends the machine and everything in it.
func (p *Process) Stop() {
	p.kill() //nolint:errcheck // it may have ended by itself
	<-p.Ended
}

// Run is the machine. It returns only if the cluster cannot start.
func Run(dir state.Dir) error {
	// First of all: a file that is open for writing, as the lock will be, keeps its
	// file system from becoming read-only.
	if err := setUpMounts(dir); err != nil {
		return err
	}
	if err := state.HoldLock(dir); err != nil {
		return err
	}
	if n, err := os.Stdin.Read(make([]byte, 1)); n == 0 {
		return fmt.Errorf("wait for the launcher: %w", errors.Join(err, errors.New("it has ended")))
	}
	cluster, err := state.Load(dir)
	if err != nil {
		return err
	}
	if err := network.SetUpMachine(cluster); err != nil {
		return err
	}
	client, err := api.NewClient(dir, cluster)
	if err != nil {
		return err
	}
	supervisor := process.NewSupervisor(dir.Logs())
	if err := keepControlPlane(supervisor, dir, cluster, client); err != nil {
		return err
	}
	for _, n := range cluster.Nodes {
		supervisor.Keep(node.Service(dir, cluster, n))
	}
	select {}
}

// setUpMounts makes sure that no mount of the cluster is seen outside, and that the
// control plane writes nowhere but into the cluster's folder.
func setUpMounts(dir state.Dir) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep the cluster's mounts to itself: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc of the cluster's PID namespace: %w", err)
	}
	if err := unix.Mount(string(dir), string(dir), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make the file system read-only for the cluster: %w", err)
	}
	return nil
}

func service(cluster *state.Cluster, name string, args ...string) process.Service {
	return process.Service{Name: name, Args: append([]string{filepath.Join(cluster.KubeBin, name)}, args...)}
}
