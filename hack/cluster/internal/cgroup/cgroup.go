// SPDX-License-Identifier: Apache-2.0

// Package cgroup keeps a cluster's processes in cgroups of its own, in every
// hierarchy that the machine has: those of cgroup v1, and v2.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Of returns the cgroup that everything in a cluster is below.
func Of(cluster string) string { return "/bulkhead-cluster-" + cluster }

// OfNode returns the cgroup that the node's pods are below.
func OfNode(cluster, node string) string { return Of(cluster) + "/" + node }

// OfDaemons returns the cgroup of the node's own processes. They need one without
// children: cgroup v2 allows no process beside child groups with controllers.
func OfDaemons(cluster, node string) string { return OfNode(cluster, node) + "/daemons" }

// hierarchy is one mounted cgroup tree.
type hierarchy struct {
	root string
	v2   bool
}

// hierarchies lists the mounted cgroup trees.
func hierarchies() ([]hierarchy, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the cgroup hierarchies: %w", err)
	}
	var found []hierarchy
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(line, " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(kind) == 0 || !strings.HasPrefix(kind[0], "cgroup") || seen[mount[4]] {
			continue
		}
		seen[mount[4]] = true
		found = append(found, hierarchy{root: mount[4], v2: kind[0] == "cgroup2"})
	}
	if len(found) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted below /sys/fs/cgroup")
	}
	return found, nil
}

// Create makes a cgroup, and those above it, in every hierarchy.
func Create(path string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		current := h.root
		for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
			if h.v2 {
				if err := enableControllers(current); err != nil {
					return err
				}
			}
			parent := current
			current = filepath.Join(current, part)
			if err := os.Mkdir(current, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make cgroup: %w", err)
			}
			if err := fillCpuset(parent, current); err != nil {
				return err
			}
		}
	}
	return nil
}

// enableControllers lets the children of a v2 cgroup have every controller of it.
func enableControllers(group string) error {
	controllers, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read controllers: %w", err)
	}
	for _, name := range strings.Fields(string(controllers)) {
		file := filepath.Join(group, "cgroup.subtree_control")
		if err := os.WriteFile(file, []byte("+"+name), 0o644); err != nil {
			return fmt.Errorf("enable controller %s in %s: %w", name, group, err)
		}
	}
	return nil
}

// fillCpuset gives a v1 cpuset the processors of its parent: it starts with none,
// and no process can enter it.
func fillCpuset(parent, group string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(group, name))
		if err != nil || len(strings.TrimSpace(string(own))) > 0 {
			continue // not a cpuset, or filled
		}
		value, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			continue // the root of v2 has none, and v2 inherits by itself
		}
		if err := os.WriteFile(filepath.Join(group, name), value, 0o644); err != nil {
			return fmt.Errorf("fill cpuset of %s: %w", group, err)
		}
	}
	return nil
}

// Enter moves a process into a cgroup of every hierarchy.
func Enter(path string, pid int) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		file := filepath.Join(h.root, path, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("move process %d into cgroup: %w", pid, err)
		}
	}
	return nil
}

// Remove removes a cgroup with all below it from every hierarchy. Processes that
// are still in it are killed: only the cluster's can be.
func Remove(path string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, err := Left(path)
		if err != nil || len(left) == 0 {
			return err
		}
		for _, group := range left {
			removeTree(group)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroups %s: still in use after 10 s", strings.Join(left, ", "))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Left returns the folders of a cgroup that exist.
func Left(path string) ([]string, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, h := range all {
		group := filepath.Join(h.root, path)
		if _, err := os.Stat(group); err == nil {
			left = append(left, group)
		}
	}
	return left, nil
}

// removeTree removes what it can; Remove tries again until nothing is left.
func removeTree(group string) {
	var groups []string
	filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error { //nolint:errcheck // see above
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return nil
	})
	for i := len(groups) - 1; i >= 0; i-- { // children stand after their parents
		procs, err := os.ReadFile(filepath.Join(groups[i], "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(procs)) {
			// 0 is a process outside our PID namespace: killing "0" would hit ourselves.
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				unix.Kill(pid, unix.SIGKILL) //nolint:errcheck // it may have ended by itself
			}
		}
		os.Remove(groups[i]) //nolint:errcheck // see above
	}
}
