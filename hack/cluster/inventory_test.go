// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/build"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// inventory is what a cluster could leave behind on this machine, by kind.
type inventory map[string][]string

func takeInventory(t *testing.T) inventory {
	t.Helper()
	all := inventory{}
	lines := func(kind, command string) {
		output, err := exec.Command("sh", "-c", command).Output()
		if err != nil {
			t.Fatalf("take stock of %s: %v", kind, err)
		}
		all[kind] = strings.Split(strings.TrimSpace(string(output)), "\n")
	}
	lines("mounts", "cut -d' ' -f5 /proc/self/mountinfo")
	lines("network links", "ls /sys/class/net")
	lines("routes", "ip route")
	lines("firewall rules", "nft list ruleset")
	lines("cgroups", "find /sys/fs/cgroup -type d")
	lines("folders", "ls -d /run/* /var/run/* /var/lib/* /var/log/* /etc/* /opt/* /usr/libexec/*")
	lines("kernel settings", "sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops net.ipv4.ip_forward")
	all["processes"] = clusterProcesses(t)
	return all
}

// clusterProcesses lists the processes that run programs of clusters.
func clusterProcesses(t *testing.T) []string {
	t.Helper()
	cache, err := build.CacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		program, err := os.Readlink(link)
		if err != nil || !(strings.HasPrefix(program, cache) || strings.HasPrefix(program, state.Root)) {
			continue
		}
		found = append(found, link+" "+program)
	}
	return found
}

func (i inventory) mustEqual(t *testing.T, before inventory) {
	t.Helper()
	for kind := range i {
		count := map[string]int{} // something can be there more than once
		for _, line := range i[kind] {
			count[line]++
		}
		for _, line := range before[kind] {
			count[line]--
		}
		for line, more := range count {
			if more > 0 {
				t.Errorf("left behind, among %s: %s", kind, line)
			}
			if more < 0 {
				t.Errorf("gone, from among %s: %s", kind, line)
			}
		}
	}
}
