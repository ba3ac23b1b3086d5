// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// The tests here are about the unified hierarchy (cgroup v2), also on a machine whose controllers are all
// in v1 ones: the tree is there, and the kernel tells of it as it does on others.

// unified is where the unified hierarchy is mounted.
func unified(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make cgroups")
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	t.Skip("the unified hierarchy (cgroup2) is not mounted")
	return ""
}

// unifiedCgroup makes a cgroup in the unified hierarchy.
func unifiedCgroup(t *testing.T, path string) string {
	t.Helper()
	folder, err := cgroupBelow(t, unified(t), path)
	if err != nil {
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	return folder
}

// inAPodsSlice is the path of a container's cgroup as the kubelet's systemd driver and containerd make it.
func inAPodsSlice(uid, id string) string {
	uid = strings.ReplaceAll(uid, "-", "_")
	return "kubepods.slice/kubepods-pod" + uid + ".slice/cri-containerd-" + id + ".scope"
}

func TestRealCgroupsOfTheUnifiedHierarchy(t *testing.T) {
	underlined := strings.ReplaceAll(uid, "-", "_")
	for name, test := range map[string]struct {
		path    string
		runtime Runtime
	}{
		"systemd driver, containerd": {inAPodsSlice(uid, proctest.ID("a")), Containerd},
		"systemd driver, CRI-O and crun": {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underlined +
			".slice/crio-" + proctest.ID("a") + ".scope/container", CRIO},
		"cgroupfs driver":           {"kubepods/besteffort/pod" + uid + "/" + proctest.ID("a"), ""},
		"drivers that do not agree": {"system.slice/containerd.service/kubepods-pod" + underlined + ".slice:cri-containerd:" + proctest.ID("a"), Containerd},
	} {
		t.Run(name, func(t *testing.T) {
			cgroup := unifiedCgroup(t, test.path)
			first := helper(t, "sleep", own, cgroup)
			w := realWitness(t)
			pids, findings := ofWeb(w.settled())
			same(t, pids, []int{first})
			same(t, names(findings), []string(nil))
			same(t, w.RuntimeOf(proctest.ID("a")), test.runtime)

			out := helper(t, "sleep", 0, cgroup)
			w.look(time.Second)
			pids, findings = ofWeb(w.look(2 * time.Second))
			same(t, pids, ascending(first, out))
			same(t, names(findings), []string{"Escape ipc", "Escape mount", "Escape network", "Escape pid", "Escape uts"})
		})
	}
}

// An agent in a cgroup namespace of its own sees all others by relative paths, in which what it has in common
// with them is missing.
func TestFromARealCgroupNamespace(t *testing.T) {
	helper(t, "sleep", own, unifiedCgroup(t, inAPodsSlice(uid, proctest.ID("a"))))
	status := reportOf(t, "hostCgroup", 0, unifiedCgroup(t, inAPodsSlice(otherUID, proctest.ID("b"))))
	seen := plain
	seen[isolation.Cgroup], seen[isolation.Time] = isolation.Host, isolation.Host
	same(t, groupOfWeb(t, status).Levels, seen.API())
}

// runc finds the program: the one of the PATH, or the one that the local cluster is built with.
func runc(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("runc"); err == nil {
		return path
	}
	cache := os.Getenv("BULKHEAD_CACHE")
	if home, err := os.UserHomeDir(); cache == "" && err == nil {
		cache = filepath.Join(home, ".cache", "bulkhead")
	}
	built, err := filepath.Glob(filepath.Join(cache, "cluster", "node-*", "bin", "runc"))
	if err != nil || len(built) == 0 {
		t.Skip("no runc: install it, or build that of the local cluster (bin/cluster build node)")
	}
	return built[0]
}

// runcRuns has runc start a container in a cgroup of the unified hierarchy, and returns its first process and a
// function that runs another program in it. runc takes v2 for what is mounted on /sys/fs/cgroup, so it gets a
// mount namespace in which the unified hierarchy is there.
func runcRuns(t *testing.T, cgroup string) (pid int, also func() int) {
	t.Helper()
	program, hierarchy, bundle := runc(t), unified(t), t.TempDir()
	call := func(args ...string) ([]byte, error) {
		cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c",
			`mount --make-rprivate / && { [ "$0" = /sys/fs/cgroup ] || mount --bind "$0" /sys/fs/cgroup; } && exec "$@"`,
			hierarchy, program, "--root", filepath.Join(bundle, "state")}, args...)...)
		cmd.Dir = bundle
		log, err := os.Create(filepath.Join(bundle, "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close() }()
		cmd.Stdout, cmd.Stderr = log, log // no pipes: what runs on in the container would hold them
		failed := cmd.Run()
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return text, failed
	}
	if out, err := call("spec"); err != nil {
		t.Skipf("runc cannot run: %v: %s", err, out)
	}
	configFile := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(configFile)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	process, linux := config["process"].(map[string]any), config["linux"].(map[string]any)
	process["terminal"], process["args"] = false, []string{"sleep", "infinity"}
	linux["cgroupsPath"] = "/" + strings.TrimPrefix(strings.TrimPrefix(cgroup, hierarchy), "/")
	mounts := config["mounts"].([]any)
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			mounts = append(mounts, map[string]any{"destination": dir, "source": dir, "type": "bind", "options": []string{"bind", "ro"}})
		}
	}
	config["mounts"] = mounts
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(configFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	name := "bulkhead-test-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		if out, err := call("delete", "--force", name); err != nil {
			t.Errorf("delete the container: %v: %s", err, out)
		}
	})
	number := func() (pid int) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(bundle, "pid"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(text), &pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	if out, err := call("run", "--detach", "--pid-file", "pid", name); err != nil {
		t.Fatalf("run the container: %v: %s", err, out)
	}
	pid = number()
	return pid, func() int {
		if out, err := call("exec", "--detach", "--pid-file", "pid", name, "sleep", "infinity"); err != nil {
			t.Fatalf("run a program in the container: %v: %s", err, out)
		}
		return number()
	}
}

func TestAContainerOfRunc(t *testing.T) {
	cgroup := unifiedCgroup(t, inAPodsSlice(uid, proctest.ID("a")))
	first, also := runcRuns(t, cgroup)
	w := realWitness(t)
	o := w.settled()
	pids, findings := ofWeb(o)
	same(t, pids, []int{first})
	same(t, names(findings), []string(nil))
	same(t, w.RuntimeOf(proctest.ID("a")), Containerd)
	t.Run("has every namespace that its spec asks for, also that of cgroups", func(t *testing.T) {
		want := plain
		want[isolation.Cgroup], want[isolation.Time] = isolation.Container, isolation.Host
		for i := range o.Pods {
			if o.Pods[i].Name == "web" {
				same(t, o.Pods[i].Levels, want)
			}
		}
	})
	t.Run("in which another program is run", func(t *testing.T) {
		second := also()
		w.look(time.Second)
		pids, findings := ofWeb(w.look(2 * time.Second))
		same(t, pids, ascending(first, second))
		same(t, names(findings), []string(nil))
	})
	t.Run("to whose cgroup a process of the node is moved", func(t *testing.T) {
		out := helper(t, "sleep", 0, cgroup)
		w.look(time.Second)
		_, findings := ofWeb(w.look(2 * time.Second))
		same(t, names(findings), []string{"Escape cgroup", "Escape ipc", "Escape mount", "Escape network", "Escape pid", "Escape uts"})
		if f := findings["Escape network"]; f != nil {
			same(t, f.Evidence.PID, out)
		}
		if err := unix.Kill(out, unix.SIGKILL); err != nil {
			t.Error(err)
		}
	})
}
