// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// lackEnv names what the helper "report" is to lack, and cgroupEnv the cgroup that it is to be in.
const (
	lackEnv   = "AGENT_TEST_LACK"
	cgroupEnv = "AGENT_TEST_CGROUP"
)

// cannotLack is how the helper ends if the kernel, or what the tests run in, does not let it give that up.
const cannotLack = 77

// report is a helper: an agent that lacks something looks at this machine's /proc, and prints the status
// of its report.
func report() {
	if err := giveUp(os.Getenv(lackEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(cannotLack)
	}
	status, err := reportNow()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(status)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func reportNow() (*v1alpha1.NodeIsolationReportStatus, error) {
	tree, err := procns.Open("/proc")
	if err != nil {
		return nil, err
	}
	looker, tracker := NewLooker(tree, pods{granted()}, LookerOptions{Inspect: time.Second}), isolation.NewTracker(nil)
	s := &Sighting{At: start.Add(2 * time.Second)}
	if _, err := looker.Observe(tracker, start); err != nil {
		return nil, err
	}
	if s.Observation, err = looker.Observe(tracker, s.At); err != nil {
		return nil, err
	}
	s.Node, s.Problems = looker.Node(), looker.Problems()
	status, _ := StatusOf(s, &v1alpha1.NodeIsolationReportStatus{})
	return &status, tree.Close()
}

// giveUp takes a right from this process. That of being in the node's namespaces is taken by who starts it.
func giveUp(lack string) error {
	switch lack {
	case "landlock":
		// Whatever the rules are: who is in a domain may not trace who is not (landlock(7)).
		return landlock.V1.RestrictPaths(landlock.RODirs("/"))
	case "capability":
		var data [2]unix.CapUserData
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capget(&header, &data[0]); err != nil {
			return err
		}
		data[0].Effective &^= sysPtrace
		data[0].Permitted &^= sysPtrace
		return unix.Capset(&header, &data[0])
	case "hostCgroup":
		if err := os.WriteFile(filepath.Join(os.Getenv(cgroupEnv), "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
		return unix.Unshare(unix.CLONE_NEWCGROUP)
	case "hostPID":
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		return unix.Mount("proc", "/proc", "proc", 0, "")
	}
	return nil
}

// reportOf runs the helper "report" in new namespaces of these kinds; cgroup is needed to lack the host's only.
func reportOf(t *testing.T, lack string, flags uintptr, cgroup string) *v1alpha1.NodeIsolationReportStatus {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{helperEnv + "=report", lackEnv + "=" + lack, cgroupEnv + "=" + cgroup}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		root := []syscall.SysProcIDMap{{Size: 1}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = root, root
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == cannotLack:
		t.Skipf("this kernel, or what the tests run in, does not let a process give up this (%s): %s", lack, exit.Stderr)
	case errors.As(err, &exit):
		t.Fatalf("the agent ended: %v: %s", err, exit.Stderr)
	case err != nil:
		t.Skipf("uid %d may not make namespaces: %v", os.Geteuid(), err)
	}
	status := &v1alpha1.NodeIsolationReportStatus{}
	if err := json.Unmarshal(out, status); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return status
}

// Whatever the agent lacks, it says so, tells the remedy, and calls nothing isolated.
func TestAnAgentThatIsRefused(t *testing.T) {
	helper(t, "sleep", own, cgroupOf(t, proctest.ID("a")))
	whole := reportOf(t, "nothing", 0, "")
	if degraded := meta.FindStatusCondition(whole.Conditions, v1alpha1.ConditionDegraded); degraded.Status != metav1.ConditionFalse {
		t.Skipf("this machine does not let itself be looked at: %s", degraded.Message)
	}
	seen := plain
	seen[isolation.Cgroup], seen[isolation.Time] = isolation.Host, isolation.Host
	same(t, groupOfWeb(t, whole).Levels, seen.API())

	var unknown isolation.Vector
	tests := map[string]struct {
		lack   string
		flags  uintptr
		reason string
		remedy string
	}{
		"by a security module, though it has every capability": {"landlock", 0, ReasonSecurityModule,
			"though the agent has the capability SYS_PTRACE: a security module refuses"},
		"without the capability": {"capability", 0, ReasonNoCapability, "set runAsUser: 0 and capabilities: {add: [SYS_PTRACE]}"},
		"in a user namespace of its own": {"host's users", unix.CLONE_NEWUSER, ReasonUserNamespace,
			"leave hostUsers: false out of its pod"},
		"in a pid namespace of its own": {"hostPID", unix.CLONE_NEWPID | unix.CLONE_NEWNS, ReasonNotNodePIDNamespace, "set hostPID: true"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status := reportOf(t, test.lack, test.flags, "")
			degraded := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionDegraded)
			same(t, []string{string(degraded.Status), degraded.Reason}, []string{string(metav1.ConditionTrue), test.reason})
			if !strings.Contains(degraded.Message, test.remedy) {
				t.Errorf("%q does not say %q", degraded.Message, test.remedy)
			}
			web := groupOfWeb(t, status)
			same(t, web.Levels, unknown.API())
			same(t, web.Inspected, false)
			if test.lack == "landlock" && len(status.Groups) != 1 {
				t.Errorf("some pods of this machine are seen: %+v", status.Groups)
			}
		})
	}
}

// groupOfWeb is the group that the test's pod is in: others may run on this machine.
func groupOfWeb(t *testing.T, status *v1alpha1.NodeIsolationReportStatus) *v1alpha1.ObservedGroup {
	t.Helper()
	for i := range status.Groups {
		for _, p := range status.Groups[i].Pods {
			if p.Name == "web" {
				return &status.Groups[i]
			}
		}
	}
	t.Fatalf("the pod is not in the report: %+v", status.Groups)
	return nil
}
