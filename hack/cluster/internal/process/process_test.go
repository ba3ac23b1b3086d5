// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseReadsPids(t *testing.T) {
	got := parse("Name:\tsleep 1\nPid:\t300\nPPid:\t200\nTracerPid:\t0\nNSpid:\t300\t12\t1\n")
	want := entry{pid: 300, parent: 200, inside: []int{300, 12, 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFindInsideFindsOurselves(t *testing.T) {
	pid, err := FindInside(os.Getpid(), parse(readOwnStatus(t)).inside[0])
	if err != nil || pid != os.Getpid() {
		t.Errorf("got %d, %v, want %d", pid, err, os.Getpid())
	}
	if _, err := FindInside(os.Getpid(), 1<<30); err == nil {
		t.Error("it finds a process that cannot exist")
	}
}

func readOwnStatus(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// One test for all of it: a supervisor reaps every child of the process, so there
// can be only one.
func TestSupervisor(t *testing.T) {
	logs := t.TempDir()
	supervisor := NewSupervisor(logs)

	err := supervisor.Run(Service{Name: "once", Args: []string{"/bin/sh", "-c", "echo said; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v for a program that exits with 3", err)
	}
	if data, err := os.ReadFile(filepath.Join(logs, "once.log")); err != nil || string(data) != "said\n" {
		t.Errorf("its log is %q, %v", data, err)
	}
	if err := supervisor.Run(Service{Name: "absent", Args: []string{"/no/such/program"}}); err == nil {
		t.Error("it runs a program that is not there")
	}

	supervisor.Keep(Service{Name: "kept", Args: []string{"/bin/sh", "-c", "kill -9 $$"}})
	deadline := time.Now().Add(10 * time.Second)
	for {
		status, err := ReadStatus(logs)
		if err != nil {
			t.Fatal(err)
		}
		if kept := status["kept"]; kept.Exits >= 2 && kept.LastExit == "killed by SIGKILL" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("what ends is not started again: %+v", status)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
