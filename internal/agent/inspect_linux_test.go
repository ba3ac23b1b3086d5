// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
)

// granted is [web] with a spec that asks for nothing.
func granted() Pod {
	p := web()
	for i := range p.Containers {
		p.Containers[i].Grant = &openings.Grant{Capabilities: openings.DefaultCapabilities, NoNewPrivileges: true, Filtered: true}
	}
	return p
}

// openingsOf are what was found open of the test's container, by kind and portal.
func openingsOf(o isolation.Observation) map[string]string {
	found := make(map[string]string)
	for i := range o.Findings {
		if f := &o.Findings[i]; f.Pod.Name == "web" && f.Axis == "" {
			found[strings.TrimSpace(string(f.Kind)+" "+f.Portal)] = f.Message
			if f.Evidence != nil {
				found[strings.TrimSpace(string(f.Kind)+" "+f.Portal)+" check"] = f.Evidence.Check
			}
		}
	}
	return found
}

// inspected tells whether the test's pod counts as looked at closely.
func inspected(t *testing.T, o isolation.Observation) bool {
	t.Helper()
	for i := range o.Pods {
		if o.Pods[i].Name == "web" {
			return o.Pods[i].Inspected
		}
	}
	t.Fatal("the pod was not seen")
	return false
}

// A process with the node's mounts in a namespace of its own is all that a container must not be.
func TestARealContainerIsLookedAtClosely(t *testing.T) {
	cgroup := cgroupOf(t, proctest.ID("a"))
	dir, err := os.Open("/usr")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{helperEnv + "=sleep"}
	cmd.ExtraFiles = []*os.File{dir} // opened by the node's mount, and handed down as its number 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: own}
	cmd.Dir = "/"
	first := started(t, cmd, cgroup)

	w := realWitness(t)
	w.Looker = NewLooker(w.fs, pods{granted()}, LookerOptions{Inspect: time.Second})
	early := w.look(0)
	if found := openingsOf(early); len(found) != 0 {
		t.Errorf("found at the first look, which proves nothing: %v", found)
	}
	if inspected(t, early) {
		t.Error("what was open at the first look is not confirmed, and the pod counts as looked at closely")
	}
	late := w.look(2 * time.Second)
	if !inspected(t, late) {
		t.Error("what is open is confirmed, and the pod does not count as looked at closely")
	}
	found := openingsOf(late)
	for name, want := range map[string]string{
		"Portal hostPaths":       "the container's root is the node's",
		"Portal capabilities":    "SYS_ADMIN",
		"Portal noNewPrivileges": "allowPrivilegeEscalation: false",
		"Portal procMount":       "/proc",
		"Leak":                   "fd/3 of process",
	} {
		if !strings.Contains(found[name], want) {
			t.Errorf("%s: %q, want %q", name, found[name], want)
		}
	}
	for name, check := range found {
		if !strings.HasSuffix(name, " check") || strings.HasPrefix(name, "Portal procMount") {
			continue
		}
		if out, err := exec.Command("sh", "-c", check).Output(); err != nil || len(out) == 0 {
			t.Errorf("%s: %s shows nothing: %v", name, check, err)
		}
	}
	// The cause goes, and so does the finding.
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if found := openingsOf(w.look(time.Minute)); len(found) != 0 {
		t.Errorf("found of a container that is no more: %v", found)
	}
}
