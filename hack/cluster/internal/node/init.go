// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/api"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/cgroup"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/network"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/process"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// InitCommand is the launcher's hidden command that calls Init.
const InitCommand = "node-init"

// Service is the node as a service of the cluster's machine.
func Service(dir state.Dir, cluster *state.Cluster, node state.Node) process.Service {
	return process.Service{
		Name:       node.Name,
		Args:       []string{dir.Launcher(), InitCommand, string(dir), node.Name},
		Env:        []string{"PATH=" + Path},
		Namespaces: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		Started: func(pid int) error {
			// The node waits for its link, so it starts nothing outside its cgroup.
			if err := cgroup.Enter(cgroup.OfDaemons(cluster.Name, node.Name), pid); err != nil {
				return err
			}
			return network.ConnectNode(node, pid)
		},
	}
}

// Init is a node's first process. It returns only if the node cannot start.
func Init(dir state.Dir, name string) error {
	cluster, err := state.Load(dir)
	if err != nil {
		return err
	}
	node, err := cluster.Node(name)
	if err != nil {
		return err
	}
	if err := network.SetUpNode(cluster, node); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(node.Name)); err != nil {
		return fmt.Errorf("name node %s: %w", node.Name, err)
	}
	client, err := api.NewClient(dir, cluster)
	if err != nil {
		return err
	}
	if err := enterRoot(dir, cluster, node); err != nil {
		return err
	}
	supervisor := process.NewSupervisor(logsDir)
	supervisor.Keep(service("containerd", nodeBin, "--config", "/etc/containerd/config.toml"))
	if err := waitForContainerd(); err != nil {
		return err
	}
	if err := loadImages(supervisor); err != nil {
		return err
	}
	client.WaitForServer()
	supervisor.Keep(service("kubelet", kubeBin,
		"--config=/var/lib/kubelet/config.yaml",
		"--kubeconfig=/etc/kubernetes/kubelet.kubeconfig",
		"--hostname-override="+node.Name,
		"--node-ip="+node.Address,
	))
	supervisor.Keep(service("kube-proxy", kubeBin, "--config=/etc/kubernetes/kube-proxy.yaml"))
	select {}
}

func service(name, folder string, args ...string) process.Service {
	return process.Service{
		Name: name,
		Args: append([]string{filepath.Join(folder, name)}, args...),
		Env:  []string{"PATH=" + Path, "HOME=/root"},
	}
}

// loadImages imports the cluster's own images, so that no pod needs a registry.
func loadImages(supervisor *process.Supervisor) error {
	archives, err := filepath.Glob(filepath.Join(imagesDir, "*.tar"))
	if err != nil {
		return fmt.Errorf("list the cluster's images: %w", err)
	}
	for _, archive := range archives {
		if err := supervisor.Run(service("ctr", nodeBin, importArgs(archive)...)); err != nil {
			return fmt.Errorf("load image %s: %w", filepath.Base(archive), err)
		}
	}
	return nil
}

func importArgs(archive string) []string {
	return []string{"--namespace", "k8s.io", "images", "import", "--local", archive}
}

func waitForContainerd() error {
	deadline := time.Now().Add(time.Minute)
	for {
		connection, err := net.Dial("unix", "/run/containerd/containerd.sock")
		if err == nil {
			return connection.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for containerd: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ImportCommand imports an image archive from its input, on a node.
func ImportCommand() []string {
	return append([]string{"ctr"}, importArgs("-")...)
}
