// SPDX-License-Identifier: Apache-2.0

package state

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestDirOfRefusesWhatIsNoName(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "A", "-a", "a-", "1a", "thirteen-long"} {
		if dir, err := DirOf(name); err == nil {
			t.Errorf("%q gives folder %s", name, dir)
		}
	}
	for _, name := range []string{"a", "bulkhead", "e2e-1", "twelve-chars"} {
		if _, err := DirOf(name); err != nil {
			t.Error(err)
		}
	}
}

func TestLinkNamesFitTheKernel(t *testing.T) {
	const limit = 15
	name := "twelve-chars"
	if link := HostLink(name); len(link) > limit {
		t.Errorf("link %s is longer than %d bytes", link, limit)
	}
	for _, node := range (Network{}).MakeNodes(name, MaxNodes) {
		if len(node.Name) > limit {
			t.Errorf("node and link %s is longer than %d bytes", node.Name, limit)
		}
	}
}

func TestClusterIsReadAsItWasWritten(t *testing.T) {
	dir := Dir(t.TempDir())
	network := Network{Subnet: 7}
	if err := (&Cluster{Name: "a", Network: network, Nodes: network.MakeNodes("a", 2)}).Save(dir); err != nil {
		t.Fatal(err)
	}
	cluster, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	node, err := cluster.Node("a-2")
	if err != nil || node.Address != "10.213.7.12" || node.PodCIDR != "10.244.2.0/24" {
		t.Errorf("got node %+v, %v", node, err)
	}
	if _, err := cluster.Node("b"); err == nil || !strings.Contains(err.Error(), `"a-1" "a-2"`) {
		t.Errorf("it does not say which nodes there are: %v", err)
	}
}

// The test runs itself again as the machine: a process's own lock never keeps it out.
func TestMachineIsWhoHoldsTheLock(t *testing.T) {
	if dir := os.Getenv("HOLD_LOCK_IN"); dir != "" {
		if err := HoldLock(Dir(dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
	}
	dir := Dir(t.TempDir())
	if pid, err := MachinePID(dir); err != nil || pid != 0 {
		t.Fatalf("before there is any: got %d, %v", pid, err)
	}
	machine := exec.Command(os.Args[0], "-test.run=^TestMachineIsWhoHoldsTheLock$")
	machine.Env = append(os.Environ(), "HOLD_LOCK_IN="+string(dir))
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		pid, err := MachinePID(dir)
		if err != nil {
			t.Fatal(err)
		}
		if pid == machine.Process.Pid {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %d, want %d", pid, machine.Process.Pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := KillMachine(dir); err != nil {
		t.Fatal(err)
	}
	if err := machine.Wait(); err == nil {
		t.Error("the machine ended well although it was killed")
	}
	if pid, err := MachinePID(dir); err != nil || pid != 0 {
		t.Errorf("after it was killed: got %d, %v", pid, err)
	}
}
