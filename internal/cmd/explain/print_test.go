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

// explained is the text on a pod of that spec, seen as sight says, under the policies.
func explained(t *testing.T, spec string, sight isolation.Sight, policies ...string) (text string, wrong bool) {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	e := &explanation{
		pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}, node: "n1", sight: sight,
		now: now, renewed: now.Add(-30 * time.Second), changed: now.Add(-time.Hour),
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &e.pod.Spec); err != nil {
		t.Fatal(err)
	}
	e.claimed = claimOf(&e.pod.Spec)
	for _, text := range policies {
		var p v1alpha1.IsolationPolicy
		if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		compiled, err := isolation.Compile(&p)
		if err != nil {
			t.Fatal(err)
		}
		a := compiled.Assess(isolation.NewSubject(e.pod, nil), sight)
		if a.Class == isolation.Unmatched {
			e.others++
			continue
		}
		e.verdicts = append(e.verdicts, verdict{compiled, a})
	}
	var out strings.Builder
	if err := e.print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String(), e.wrong()
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
Observed by the agent of its node, which was alive 30s ago; what it saw has been so for 1h0m0s or longer.

AXIS     REQUIRED   CLAIMED    OBSERVED  BY POLICY
pid      Container  Host       Host      tenants
network  Pod        Pod        Pod       tenants
ipc      -          Pod        Pod       -
uts      -          Pod        Pod       -
mount    -          Container  Pod       -
user     -          Host       Pod       -
cgroup   -          -          Pod       -
time     -          -          Pod       -

Policy tenants (Deny): breached, it has less than is required
  - Portal (runtimeSockets): runtimeSockets was found open, which is not allowed: a socket
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
