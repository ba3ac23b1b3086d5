// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// explanationOf is what there is to tell of a pod of that spec, seen as sight says, under the policies.
func explanationOf(t *testing.T, spec string, sight isolation.Sight, policies ...string) *explanation {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	e := &explanation{
		pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}, node: "n1", install: "bulkhead-system", sight: sight,
		now: now, renewed: now.Add(-30 * time.Second), changed: now.Add(-time.Hour),
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &e.pod.Spec); err != nil {
		t.Fatal(err)
	}
	all := make([]v1alpha1.IsolationPolicy, len(policies))
	for i, text := range policies {
		if err := yaml.UnmarshalStrict([]byte(text), &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	e.judge(nil, all)
	if len(e.broken) > 0 {
		t.Fatal(e.broken)
	}
	return e
}

// printed is the explanation in a format.
func printed(t *testing.T, e *explanation, format string) string {
	t.Helper()
	var out strings.Builder
	if err := e.print(&out, format); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// explained is the text.
func explained(t *testing.T, spec string, sight isolation.Sight, policies ...string) (text string, wrong bool) {
	t.Helper()
	e := explanationOf(t, spec, sight, policies...)
	return printed(t, e, "text"), e.wrong()
}

const (
	tenants = "metadata: {name: tenants}\nspec: {isolation: {pid: Container, network: Pod}, portals: {runtimeSockets: Forbid}, admission: {action: Deny}}"
	trial   = "metadata: {name: trial}\nspec: {isolation: {pid: Pod}, admission: {action: Warn}}"
	others  = "metadata: {name: others}\nspec: {match: {podSelector: {matchLabels: {a: b}}}, isolation: {pid: Pod}, admission: {action: Warn}}"
)

func TestWhatIsWrongStandsBesideWhatIsRequired(t *testing.T) {
	levels := isolation.Fill(isolation.Pod)
	levels[isolation.PID] = isolation.Host
	text, wrong := explained(t, "hostPID: true\ncontainers: [{name: app}]", isolation.Sight{Levels: levels, Inspected: true, Findings: []v1alpha1.NodeFinding{
		{Kind: v1alpha1.Escape, Axis: "network", Container: "app", Message: "somewhere\x1b[2J", Evidence: &v1alpha1.Evidence{PID: 7, TID: 8, Check: "rm -rf /"}},
		{Kind: v1alpha1.Portal, Portal: "runtimeSockets", Message: "a socket", Evidence: &v1alpha1.Evidence{PID: 9}},
	}}, tenants, trial, others)
	want := `Pod shop/web on node n1
Observed by the agent of node n1, which was alive 30s ago; what it saw has been so for 1h0m0s or longer.

AXIS     REQUIRED   CLAIMED    OBSERVED  BY POLICY
pid      Container  Host       Host      tenants
network  Pod        Pod        Pod       tenants
ipc      -          Pod        Pod       -
uts      -          Pod        Pod       -
mount    -          Container  Pod       -
user     -          Host       Pod       -
cgroup   -          -          Pod       -
time     -          -          Pod       -

PORTAL              REQUIRED  CLAIMED  OBSERVED           BY POLICY
privileged          -         nothing  -                  -
capabilities        -         nothing  as claimed         -
procMount           -         nothing  as claimed         -
hostPaths           -         nothing  as claimed         -
mountPropagation    -         nothing  as claimed         -
devices             -         nothing  as claimed         -
runtimeSockets      Forbid    nothing  open, not claimed  tenants
hostPorts           -         nothing  -                  -
hostProbes          -         nothing  -                  -
windowsHostProcess  -         nothing  -                  -

Policy tenants (Deny): breached, it has less than is required
  - Portal (runtimeSockets): runtimeSockets was found open, which is not allowed: a socket
    to do: its spec asks for enough, and what runs has less: delete the pod, so that it is made anew; if that does not help, the runtime of node n1 gives less than it is asked for, or somebody there opens it
  - Breach (pid): pid was observed as Host, Container is required; the spec asks for it: spec.hostPID is true and claims Host, Container is required: remove it or set it to false
Policy trial (Warn): breached, it has less than is required
  - Breach (pid): pid was observed as Host, Pod is required; the spec asks for it: spec.hostPID is true and claims Host, Pod is required: remove it or set it to false
Policies that do not match it: 1

Found on node n1, whatever the policies say:
  - Escape (network): container app: somewhere\x1b[2J
    check on the node: readlink /proc/7/task/8/ns/net
  - Portal (runtimeSockets): a socket
    check on the node: cat /proc/9/mountinfo /proc/9/status
`
	if text != want || !wrong {
		t.Errorf("wrong: %t\n%s\nwant:\n%s", wrong, text, want)
	}
}

func TestAPodThatNobodyHasSeenIsNotCalledIsolated(t *testing.T) {
	text, wrong := explained(t, "containers: [{name: app}]", isolation.Sight{Unseen: "node n1: no agent has reported"}, tenants)
	for _, want := range []string{
		"Nobody has observed it: node n1: no agent has reported.\n", "pid      Container  Container  not seen  tenants\n", "Policy tenants (Deny): not verified\n",
		"runtimeSockets      Forbid    nothing  not seen  tenants\n",
		"to do: see how the agent of its node is: kubectl -n bulkhead-system get pods -o wide --field-selector spec.nodeName=n1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if !wrong {
		t.Error("what is not verified is no success")
	}
}

func TestWithoutAPolicyNothingIsRequired(t *testing.T) {
	text, wrong := explained(t, "containers: [{name: app}]", isolation.Sight{Levels: isolation.Fill(isolation.Pod)})
	if !strings.Contains(text, "There is no policy: nothing is required.\n") || wrong {
		t.Error(text)
	}
	text, wrong = explained(t, "containers: [{name: app}]", isolation.Sight{Levels: isolation.Fill(isolation.Container), Inspected: true}, tenants)
	if !strings.Contains(text, "Policy tenants (Deny): satisfied, and seen to be\n") || wrong {
		t.Error(text)
	}
}

func TestWhatWasFoundBeforeTheAgentFellSilentIsNotForgotten(t *testing.T) {
	policy := tenants + `
status:
  pods: {matched: 2, exempt: 0, breached: 0, violating: 0, unverified: 2, compliant: 0}
  nodes: {reporting: 0, stale: 1}
  outOfSight:
  - {kind: Escape, namespace: shop, pod: web, axis: pid, message: process 7 is in the node's}
  - {kind: Escape, namespace: shop, pod: other, uid: another, axis: pid, message: not this one}`
	text, wrong := explained(t, "{containers: [{name: app}]}", isolation.Sight{Unseen: "its agent has been silent since 12:00"}, policy)
	if want := "  - Escape (pid), found before, and nobody can see whether it lasts: process 7 is in the node's\n"; !strings.Contains(text, want) || !wrong {
		t.Errorf("it does not tell of the escape that was found, wrong=%t:\n%s", wrong, text)
	}
	if strings.Contains(text, "not this one") {
		t.Errorf("it tells of another pod's escape:\n%s", text)
	}
}

func TestAProcessThatLeftItsContainersCgroupIsToldWithWhatToDoAndToCheck(t *testing.T) {
	levels := isolation.Fill(isolation.Pod)
	levels[isolation.PID], levels[isolation.Mount], levels[isolation.Cgroup] = isolation.Container, isolation.Container, isolation.Container
	text, wrong := explained(t, "containers: [{name: app}]", isolation.Sight{Levels: levels, Inspected: true, Findings: []v1alpha1.NodeFinding{{
		Kind: v1alpha1.Escape, Container: "app", Message: `process 7 ("sh") descends from the container and has left its cgroup`,
		Evidence: &v1alpha1.Evidence{PID: 7, Check: "rm -rf /"},
	}}}, strings.Replace(tenants, "network: Pod", "network: Pod, cgroup: Container", 1))
	const want = `
Policy tenants (Deny): breached, it has less than is required
  - Escape (cgroup): Container is required: process 7 ("sh") descends from the container and has left its cgroup
    to do: find out on node n1 what the process does there, and who moved it; then delete the pod, and see that the process has ended: it may outlive its container

Found on node n1, whatever the policies say:
  - Escape: container app: process 7 ("sh") descends from the container and has left its cgroup
    check on the node: cat /proc/7/cgroup
`
	if !wrong || !strings.HasSuffix(text, want) {
		t.Errorf("got %s\nwant at its end %s", text, want)
	}
}
