// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// enterRoot mounts what a node needs into its root folder and makes that the root
// of the calling process. Nothing of the machine is writable from there but /dev
// and /sys, as on any machine.
func enterRoot(dir state.Dir, cluster *state.Cluster, node state.Node) error {
	root := dir.NodeRoot(node.Name)
	// Only a mount can become the root.
	if err := bind(root, root, false); err != nil {
		return err
	}
	shared := map[string]string{
		cluster.KubeBin:     kubeBin,
		cluster.NodeBin:     nodeBin,
		dir.Images():        imagesDir,
		"/etc/alternatives": "/etc/alternatives",
	}
	for _, folder := range systemFolders {
		if info, err := os.Lstat(folder); err == nil && info.IsDir() {
			shared[folder] = folder
		}
	}
	for source, target := range shared {
		err := bind(source, filepath.Join(root, target), true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := bind(dir.Logs(node.Name), filepath.Join(root, logsDir), false); err != nil {
		return err
	}
	for _, folder := range []string{"/dev", "/sys"} {
		if err := bind(folder, filepath.Join(root, folder), false); err != nil {
			return err
		}
	}
	if err := mountOwn(root); err != nil {
		return err
	}
	if err := mountLayers(filepath.Join(root, "var/lib/containerd")); err != nil {
		return err
	}
	return pivot(root)
}

// mountLayers makes sure that containers can have their layers: overlayfs does not
// work on every file system, for example not on another overlayfs, which is what
// the root of a container is. Where it does not, the layers lie in memory.
func mountLayers(folder string) error {
	trial := filepath.Join(folder, "overlay-trial")
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(trial, name), 0o700); err != nil {
			return fmt.Errorf("try overlayfs: %w", err)
		}
	}
	merged := filepath.Join(trial, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", trial)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err == nil {
		if err := unix.Unmount(merged, 0); err != nil {
			return fmt.Errorf("end the trial of overlayfs: %w", err)
		}
		return os.RemoveAll(trial)
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=0711"); err != nil {
		return fmt.Errorf("mount a file system for container layers: %w", err)
	}
	return nil
}

// mountOwn mounts the file systems that show the node's own namespaces.
func mountOwn(root string) error {
	mounts := []struct {
		kind, target, options string
		flags                 uintptr
	}{
		{"proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"tmpfs", "run", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
		{"mqueue", "dev/mqueue", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	}
	for _, m := range mounts {
		target := filepath.Join(root, m.target)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue // no /dev/mqueue on this machine: none on the node
		}
		if err := unix.Mount(m.kind, target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, target, err)
		}
	}
	return nil
}

func bind(source, target string, readOnly bool) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

// pivot makes root the root and lets go of the old one.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter the node's root: %w", err)
	}
	// With both the same, the old root ends up on top of the new one: see pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the root: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	// The kubelet and mounts with propagation need what systemd does on a machine.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make the node's mounts shared: %w", err)
	}
	return os.Chdir("/")
}

// machineID gives each node an identity of its own.
func machineID(cluster *state.Cluster, node state.Node) string {
	sum := sha256.Sum256([]byte(cluster.Name + "/" + node.Name))
	return fmt.Sprintf("%x", sum[:16])
}
