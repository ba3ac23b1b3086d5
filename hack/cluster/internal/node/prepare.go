// SPDX-License-Identifier: Apache-2.0

// Package node makes and runs a node: a set of namespaces with a root folder, a
// first process that supervises containerd, the kubelet and kube-proxy, and links
// to the other nodes. To its pods it is "the host", as a machine would be.
package node

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/cgroup"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/image"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// Where things lie on a node.
const (
	kubeBin   = "/opt/bulkhead/kube"
	nodeBin   = "/opt/bulkhead/node"
	imagesDir = "/opt/bulkhead/images"
	logsDir   = "/var/log/bulkhead"
)

// Path is a PATH for commands on a node.
const Path = kubeBin + ":" + nodeBin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

//go:embed files
var files embed.FS

// folders of a node's root, made before anything is mounted into it.
var folders = []string{
	"dev", "etc/alternatives", "etc/cni/net.d", "etc/containerd", "etc/kubernetes/manifests", "etc/kubernetes/pki",
	kubeBin, nodeBin, imagesDir, "proc", "root", "run", "sys", "usr", "var/lib/containerd", "var/lib/kubelet", logsDir,
}

// Prepare writes the root folder and the cgroups of a node.
func Prepare(dir state.Dir, cluster *state.Cluster, node state.Node) error {
	for _, folder := range folders {
		if err := os.MkdirAll(dir.NodeRoot(node.Name, folder), 0o755); err != nil {
			return fmt.Errorf("make the root folder of node %s: %w", node.Name, err)
		}
	}
	if err := os.MkdirAll(dir.Logs(node.Name), 0o700); err != nil {
		return fmt.Errorf("make the log folder of node %s: %w", node.Name, err)
	}
	steps := []func(state.Dir, *state.Cluster, state.Node) error{writeEtc, writeConfigs, copyCredentials, linkSystemFolders}
	for _, step := range steps {
		if err := step(dir, cluster, node); err != nil {
			return fmt.Errorf("prepare node %s: %w", node.Name, err)
		}
	}
	// The folder stands in for the machine's /tmp: anyone may write, only owners remove.
	tmp := dir.NodeRoot(node.Name, "tmp")
	if err := errors.Join(os.Mkdir(tmp, 0o755), os.Chmod(tmp, 0o777|os.ModeSticky)); err != nil {
		return fmt.Errorf("prepare node %s: %w", node.Name, err)
	}
	return cgroup.Create(cgroup.OfDaemons(cluster.Name, node.Name))
}

func writeEtc(dir state.Dir, cluster *state.Cluster, node state.Node) error {
	hosts := "127.0.0.1 localhost\n"
	for _, other := range cluster.Nodes {
		hosts += other.Address + " " + other.Name + "\n"
	}
	texts := map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/hostname":      node.Name + "\n",
		"etc/hosts":         hosts,
		"etc/resolv.conf":   "# There is no DNS in this cluster: refuse at once.\nnameserver 127.0.0.1\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"etc/machine-id":    machineID(cluster, node) + "\n",
	}
	for path, text := range texts {
		if err := os.WriteFile(dir.NodeRoot(node.Name, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, path := range []string{"/etc/ld.so.cache", "/etc/os-release"} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir.NodeRoot(node.Name, path), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeConfigs renders the daemons' configuration files.
func writeConfigs(dir state.Dir, cluster *state.Cluster, node state.Node) error {
	values := map[string]any{
		"Node":    node,
		"Cgroup":  cgroup.OfNode(cluster.Name, node.Name),
		"Pause":   image.Pause,
		"PodCIDR": state.PodCIDR,
		"NodeBin": nodeBin,
	}
	targets := map[string]string{
		"kubelet.yaml":    "var/lib/kubelet/config.yaml",
		"kube-proxy.yaml": "etc/kubernetes/kube-proxy.yaml",
		"containerd.toml": "etc/containerd/config.toml",
		"cni.conflist":    "etc/cni/net.d/10-bulkhead.conflist",
	}
	for name, target := range targets {
		parsed, err := template.ParseFS(files, "files/"+name)
		if err != nil {
			return fmt.Errorf("parse %s: %w", name, err)
		}
		var text bytes.Buffer
		if err := parsed.Execute(&text, values); err != nil {
			return fmt.Errorf("render %s: %w", name, err)
		}
		if err := os.WriteFile(dir.NodeRoot(node.Name, target), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyCredentials gives the node its own keys, and nobody else's.
func copyCredentials(dir state.Dir, _ *state.Cluster, node state.Node) error {
	targets := map[string]string{
		"ca.crt":                  "etc/kubernetes/pki/ca.crt",
		node.Name + ".crt":        "etc/kubernetes/pki/kubelet.crt",
		node.Name + ".key":        "etc/kubernetes/pki/kubelet.key",
		node.Name + ".kubeconfig": "etc/kubernetes/kubelet.kubeconfig",
		"kube-proxy.kubeconfig":   "etc/kubernetes/kube-proxy.kubeconfig",
	}
	for source, target := range targets {
		data, err := os.ReadFile(dir.PKI(source))
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir.NodeRoot(node.Name, target), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// systemFolders hold the machine's programs and libraries, which a node shares
// read-only. On most distributions all but /usr are links into /usr.
var systemFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// linkSystemFolders repeats those links, and makes a folder to mount on for each
// that is none.
func linkSystemFolders(dir state.Dir, _ *state.Cluster, node state.Node) error {
	for _, folder := range systemFolders {
		info, err := os.Lstat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		target := dir.NodeRoot(node.Name, folder)
		if info.Mode()&fs.ModeSymlink == 0 {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			continue
		}
		link, err := os.Readlink(folder)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, target); err != nil {
			return err
		}
	}
	return os.Symlink("/run", dir.NodeRoot(node.Name, filepath.Join("var", "run")))
}
