// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// CopyKubeconfig puts a copy of the administrator's kubeconfig where the user wants
// it, and remembers that for Down.
func CopyKubeconfig(dir state.Dir, target string) error {
	if target == "" {
		return nil
	}
	target, err := filepath.Abs(target)
	if err != nil {
		return fmt.Errorf("find the folder of the kubeconfig: %w", err)
	}
	data, err := os.ReadFile(dir.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	if err := state.WriteFile(target, data, 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	cluster, err := state.Load(dir)
	if err != nil || slices.Contains(cluster.KubeconfigCopies, target) {
		return err
	}
	cluster.KubeconfigCopies = append(cluster.KubeconfigCopies, target)
	return cluster.Save(dir)
}

// removeKubeconfigCopies removes each copy, unless something else is there by now.
func removeKubeconfigCopies(dir state.Dir, cluster *state.Cluster) error {
	if len(cluster.KubeconfigCopies) == 0 {
		return nil
	}
	ours, err := os.ReadFile(dir.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	var failed []error
	for _, path := range cluster.KubeconfigCopies {
		copied, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !bytes.Equal(ours, copied)) {
			continue
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("remove a copy of the kubeconfig: %w", err))
		}
	}
	return errors.Join(failed...)
}
