// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/cgroup"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/network"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// Down takes the named cluster down, whatever state it is in, and makes sure that
// nothing of it is left.
func Down(ctx context.Context, name string) error {
	dir, err := state.DirOf(name)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return takeDown(dir, name)
}

// takeDown goes on after a step that fails, so that as little as possible is left.
func takeDown(dir state.Dir, name string) error {
	err := errors.Join(
		state.KillMachine(dir),
		network.DisconnectHost(name),
		cgroup.Remove(cgroup.Of(name)),
		forget(dir),
		removeFolder(dir),
	)
	return errors.Join(err, verifyGone(dir, name))
}

// forget undoes what the cluster changed outside of itself.
func forget(dir state.Dir) error {
	cluster, err := state.Load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it did not get that far
	}
	if err != nil {
		return err
	}
	return errors.Join(restoreSysctls(cluster.Sysctls), removeKubeconfigCopies(dir, cluster))
}

// removeFolder removes the cluster's folder. It never follows a mount: the cluster
// has its mounts in a namespace of its own, but if one should be here all the same,
// what is mounted is not the cluster's to delete.
func removeFolder(dir state.Dir) error {
	mounts, err := mountsBelow(string(dir))
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i], unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", mounts[i], err)
		}
	}
	if mounts, err = mountsBelow(string(dir)); err != nil || len(mounts) > 0 {
		return errors.Join(err, fmt.Errorf("remove %s: there are mounts below it: %q", dir, mounts))
	}
	if err := os.RemoveAll(string(dir)); err != nil {
		return fmt.Errorf("remove the cluster's folder: %w", err)
	}
	os.Remove(state.Root) //nolint:errcheck // other clusters may be in it
	return nil
}

func mountsBelow(folder string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for mounts: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4]+"/", folder+"/") {
			found = append(found, fields[4])
		}
	}
	return found, nil
}

// verifyGone names everything of the cluster that is still there.
func verifyGone(dir state.Dir, name string) error {
	var left []string
	if pid, err := state.MachinePID(dir); err != nil || pid != 0 {
		left = append(left, fmt.Sprintf("process %d (%v)", pid, err))
	}
	if network.HostLinkExists(name) {
		left = append(left, "network link "+state.HostLink(name))
	}
	groups, err := cgroup.Left(cgroup.Of(name))
	if err != nil {
		left = append(left, err.Error())
	}
	left = append(left, groups...)
	mounts, err := mountsBelow(string(dir))
	if err != nil {
		left = append(left, err.Error())
	}
	left = append(left, mounts...)
	if _, err := os.Lstat(string(dir)); err == nil {
		left = append(left, string(dir))
	}
	left = append(left, launchersOf(dir)...)
	if len(left) > 0 {
		return fmt.Errorf("these are left of cluster %s: %s", name, strings.Join(left, ", "))
	}
	return nil
}

// launchersOf lists processes that still run the cluster's copy of the launcher:
// its machine and its nodes' first processes. Without them there are no others.
func launchersOf(dir state.Dir) []string {
	links, _ := filepath.Glob("/proc/[0-9]*/exe") //nolint:errcheck // the pattern is well-formed
	var found []string
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.TrimSuffix(target, " (deleted)") == dir.Launcher() {
			found = append(found, "process "+strings.Split(link, "/")[2])
		}
	}
	return found
}
