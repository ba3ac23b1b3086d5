// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/build"
	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// testCluster is a name that nobody would give a cluster of his own.
const testCluster = "leftovers"

// TestLeavesNothingBehind brings real clusters up and ends them in every way that
// they can end. It needs root and what `cluster build` builds, and skips without.
func TestLeavesNothingBehind(t *testing.T) {
	cache := requireRealCluster(t)
	l := launcher{t: t, path: filepath.Join(t.TempDir(), "cluster")}
	if output, err := exec.Command("go", "build", "-o", l.path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the launcher: %v\n%s", err, output)
	}
	before := takeInventory(t)
	check := func(t *testing.T) {
		t.Helper()
		takeInventory(t).mustEqual(t, before)
	}

	t.Run("after a cluster with pods was taken down", func(t *testing.T) {
		kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
		l.mustRun("up", "--kubeconfig", kubeconfig)
		runPod(t, filepath.Join(cache, "kubectl"), kubeconfig)
		l.mustRun("up") // says that it is up, and changes nothing
		l.mustRun("down")
		check(t)
		if _, err := os.Stat(kubeconfig); err == nil {
			t.Error("the copy of the kubeconfig is still there")
		}
	})
	t.Run("after its machine was killed", func(t *testing.T) {
		l.mustRun("up", "--nodes=1")
		dir, err := state.DirOf(testCluster)
		if err != nil {
			t.Fatal(err)
		}
		if err := state.KillMachine(dir); err != nil {
			t.Fatal(err)
		}
		l.mustRun("down")
		check(t)
		l.mustRun("down") // there is nothing to do, and that is fine
	})
	for name, said := range map[string]string{
		"after Ctrl-C right at the start":   "prepared keys",
		"after Ctrl-C while nodes register": startedAll,
	} {
		t.Run(name, func(t *testing.T) {
			if output := l.interrupt(syscall.SIGINT, said); !strings.Contains(output, "interrupted") {
				t.Errorf("it does not say that it was interrupted:\n%s", output)
			}
			check(t)
		})
	}
	t.Run("after the launcher was killed, and down", func(t *testing.T) {
		l.interrupt(syscall.SIGKILL, startedAll)
		l.mustRun("down")
		check(t)
	})
	t.Run("after a component failed", func(t *testing.T) {
		l.cache = brokenCache(t, cache)
		output, err := l.run("up", "--nodes=1")
		if err == nil || !strings.Contains(output, "this disk is broken") || !strings.Contains(output, "etcd keeps ending") {
			t.Errorf("it does not show why etcd ends: %v\n%s", err, output)
		}
		check(t)
	})
}

// requireRealCluster returns the folder with Kubernetes' programs.
func requireRealCluster(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make real clusters")
	}
	if testing.Short() {
		t.Skip("makes real clusters, which takes a minute: not with -short")
	}
	builder, err := newBuilder(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []build.Part{build.Node(), build.Kube()} {
		if cached, err := builder.Cached(t.Context(), part); err != nil || !cached {
			t.Skipf("needs %s, which takes minutes to build: run `cluster build` first (%v)", part.Title, err)
		}
	}
	bin, err := builder.Ensure(t.Context(), build.Kube())
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// launcher runs the launcher's commands on the test's cluster.
type launcher struct {
	t     *testing.T
	path  string
	cache string // stands in for the user's cache, if set
}

func (l launcher) command(args ...string) *exec.Cmd {
	cmd := exec.Command(l.path, append(args, "--name="+testCluster)...)
	cmd.Env = os.Environ()
	if l.cache != "" {
		cmd.Env = append(cmd.Env, "BULKHEAD_CACHE="+l.cache)
	}
	return cmd
}

func (l launcher) run(args ...string) (string, error) {
	output, err := l.command(args...).CombinedOutput()
	return string(output), err
}

func (l launcher) mustRun(args ...string) {
	l.t.Helper()
	if output, err := l.run(args...); err != nil {
		l.run("down") //nolint:errcheck // what went wrong is told below
		l.t.Fatalf("cluster %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// startedAll is what the launcher says when all processes were started, and nothing is ready yet.
const startedAll = "started the control plane"

// interrupt sends a signal to a launcher that is bringing the cluster up, once it has said something.
func (l launcher) interrupt(signal os.Signal, said string) string {
	l.t.Helper()
	up := l.command("up")
	read, write, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	defer read.Close()
	up.Stdout, up.Stderr = write, write
	err = up.Start()
	write.Close()
	if err != nil {
		l.t.Fatal(err)
	}
	var output strings.Builder
	sent := false
	for lines := bufio.NewScanner(read); lines.Scan(); {
		output.WriteString(lines.Text() + "\n")
		if !sent && strings.Contains(lines.Text(), said) {
			sent = true
			if err := up.Process.Signal(signal); err != nil {
				l.t.Error(err)
			}
			if signal == syscall.SIGKILL {
				break // what it started may hold the pipe open
			}
		}
	}
	if err := up.Wait(); err == nil || !sent {
		l.t.Errorf("cluster up ends with %v; it was sent %s: %t\n%s", err, signal, sent, output.String())
	}
	return output.String()
}

func runPod(t *testing.T, kubectl, kubeconfig string) {
	t.Helper()
	for _, command := range []string{
		"run pod --image=busybox:bulkhead --port=80 -- sleep 1d",
		"expose pod pod",
		"wait --for=condition=Ready pod/pod --timeout=60s",
		"exec pod -- true",
	} {
		cmd := exec.Command(kubectl, append([]string{"--kubeconfig=" + kubeconfig}, strings.Fields(command)...)...)
		cmd.Env = append(os.Environ(), "KUBECACHEDIR="+t.TempDir())
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("kubectl %s: %v\n%s", command, err, output)
		}
	}
}

// brokenCache returns a copy of the cache, with an etcd that does not work.
func brokenCache(t *testing.T, kubeBin string) string {
	t.Helper()
	copied := t.TempDir()
	cache := filepath.Dir(filepath.Dir(kubeBin))
	if output, err := exec.Command("cp", "-r", cache, filepath.Join(copied, "cluster")).CombinedOutput(); err != nil {
		t.Fatalf("copy the cache: %v\n%s", err, output)
	}
	etcd := filepath.Join(copied, "cluster", filepath.Base(filepath.Dir(kubeBin)), "bin", "etcd")
	if err := os.Remove(etcd); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(etcd, []byte("#!/bin/sh\necho this disk is broken\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return copied
}
