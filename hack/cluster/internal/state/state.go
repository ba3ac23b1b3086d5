// SPDX-License-Identifier: Apache-2.0

// Package state says what a cluster is made of and where its files lie. Everything
// that a cluster keeps is below one folder, so that `cluster down` has one folder
// to remove and nobody has to look elsewhere.
package state

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Root holds one folder per cluster.
const Root = "/var/lib/bulkhead-cluster"

// nameRule keeps a name usable as part of a network link (15 bytes), a host name
// and a cgroup.
var nameRule = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,10}[a-z0-9])?$`)

// Dir is the folder of one cluster.
type Dir string

// DirOf returns the folder of the named cluster, or why that is not a name.
func DirOf(name string) (Dir, error) {
	if !nameRule.MatchString(name) {
		return "", fmt.Errorf("cluster name %q: use 1 to 12 lower-case letters, digits and dashes, starting with a letter", name)
	}
	return Dir(filepath.Join(Root, name)), nil
}

// Path joins parts to the cluster's folder.
func (d Dir) Path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Launcher is the copy of the launcher that the cluster runs, so that it outlives
// the binary that `go run` throws away.
func (d Dir) Launcher() string { return d.Path("launcher") }

// Lock is held by the machine, the first process of the cluster, as long as it lives.
func (d Dir) Lock() string { return d.Path("machine.lock") }

// Kubeconfig is the administrator's.
func (d Dir) Kubeconfig() string { return d.Path("kubeconfig") }

// PKI holds keys, certificates and the components' kubeconfigs.
func (d Dir) PKI(parts ...string) string { return d.Path(append([]string{"pki"}, parts...)...) }

// Etcd holds the API server's database.
func (d Dir) Etcd() string { return d.Path("etcd") }

// AuditPolicy is what the API server logs of who asks for what.
func (d Dir) AuditPolicy() string { return d.Path("audit.yaml") }

// AuditLog is the file, among the logs, in which the API server logs who asked for what.
const AuditLog = "audit.log"

// Images holds the archives that every node loads when it starts.
func (d Dir) Images() string { return d.Path("images") }

// Logs holds a log and a status file per supervisor: that of the machine lies in
// the folder itself, that of a node in a folder of the node's name.
func (d Dir) Logs(parts ...string) string { return d.Path(append([]string{"logs"}, parts...)...) }

// NodeRoot is what the node sees as "/".
func (d Dir) NodeRoot(node string, parts ...string) string {
	return d.Path(append([]string{"nodes", node}, parts...)...)
}

// Cluster is what the parts of a cluster have to agree on. It is written once, by
// `cluster up`, and read by everything that the cluster consists of.
type Cluster struct {
	Name    string
	Network Network
	Nodes   []Node
	KubeBin string // folder with kube-apiserver, kubelet, etcd ...
	NodeBin string // folder with containerd, runc, CNI plugins ...

	// Sysctls are the machine-wide kernel settings that kubelets change, as they
	// were before, for `cluster down` to put back.
	Sysctls map[string]string

	// KubeconfigCopies are where users asked for copies of the kubeconfig.
	KubeconfigCopies []string
}

// Node is one node.
type Node struct {
	Name    string
	Address string // on the cluster's bridge
	PodCIDR string
}

// Node returns the named node, or an error that tells which there are.
func (c *Cluster) Node(name string) (Node, error) {
	var names []string
	for _, n := range c.Nodes {
		if n.Name == name {
			return n, nil
		}
		names = append(names, n.Name)
	}
	return Node{}, fmt.Errorf("cluster %s has no node %q; it has %q", c.Name, name, names)
}

// Save writes the cluster's description into its folder.
func (c *Cluster) Save(d Dir) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the description of cluster %s: %w", c.Name, err)
	}
	return WriteFile(d.Path("cluster.json"), append(data, '\n'), 0o600)
}

// Load reads the description of the cluster in d.
func Load(d Dir) (*Cluster, error) {
	data, err := os.ReadFile(d.Path("cluster.json"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's description: %w", err)
	}
	c := &Cluster{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("read the cluster's description in %s: %w", d, err)
	}
	return c, nil
}

// WriteFile writes a whole file or none: a reader never sees half of it.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone already when all went well
	if _, err := tmp.Write(data); err != nil {
		tmp.Close() //nolint:errcheck // the write's error says more
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), mode); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
