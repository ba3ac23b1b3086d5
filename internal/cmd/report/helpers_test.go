// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// now is the moment of every test.
var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func fromYAML(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

const (
	// tenants demands, and lets shop's debugger be on the node's network.
	tenants = `
metadata: {name: tenants, generation: 2}
spec:
  match: {namespaceSelector: {matchLabels: {tenancy: shared}}}
  isolation: {pid: Container, network: Pod, ipc: Pod, mount: Container}
  portals: {privileged: Forbid}
  admission: {action: Deny}
  exemptions: [{name: debugging, reason: tests, namespaces: [shop], serviceAccounts: [debugger], isolation: {network: Host}}]
status:
  observedGeneration: 2
  pods: {matched: 7, exempt: 1, breached: 1, violating: 1, unverified: 3, notApplicable: 2, compliant: 1}
  nodes: {reporting: 1, stale: 2}
  findingsTotal: 6
  conditions:
  - {type: Accepted, status: "True", reason: Accepted, message: the policy is valid, lastTransitionTime: "2026-05-04T11:00:00Z"}
  - {type: Enforced, status: "True", reason: Served, message: all replicas serve it, lastTransitionTime: "2026-05-04T11:00:00Z"}
  - {type: Verified, status: "False", reason: Breached, message: 4 of 6 pods were not observed as required, lastTransitionTime: "2026-05-04T11:00:00Z"}`
	// trial demands a user namespace, and nobody has judged by it yet.
	trial = `
metadata: {name: trial, generation: 1}
spec: {match: {namespaceSelector: {matchLabels: {tenancy: trial}}}, isolation: {user: Pod}, admission: {action: Audit, engine: ValidatingAdmissionPolicy}}`
)

// isolated are the levels of an ordinary pod at its best.
var isolated = v1alpha1.Levels{
	PID: "Container", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Host", Cgroup: "Container", Time: "Host",
}

// small is a cluster with a node that is seen, one that is degraded, one that is silent, and one
// without an agent.
func small(t *testing.T) *surroundings {
	t.Helper()
	in := &surroundings{
		Now: now, Policies: make([]v1alpha1.IsolationPolicy, 2),
		Namespaces: map[string]labels.Set{"shop": {"tenancy": "shared"}, "lab": {"tenancy": "trial"}, "kube-system": {}},
		Nodes:      map[string]*corev1.Node{}, Reports: map[string]*v1alpha1.NodeIsolationReport{}, Agents: map[string]time.Time{},
		Handlers: map[string]string{"gvisor": "runsc"},
	}
	fromYAML(t, tenants, &in.Policies[0])
	fromYAML(t, trial, &in.Policies[1])
	for _, name := range []string{"seen", "degraded", "silent", "bare"} {
		node := &corev1.Node{}
		fromYAML(t, `{nodeInfo: {kernelVersion: 6.12.9, containerRuntimeVersion: "containerd://2.4.2", operatingSystem: linux},
runtimeHandlers: [{name: "", features: {userNamespaces: true}}, {name: runsc, features: {userNamespaces: false}}]}`, &node.Status)
		in.Nodes[name] = node
		if name == "bare" {
			continue
		}
		in.Agents[name] = now.Add(-30 * time.Second)
		in.Reports[name] = &v1alpha1.NodeIsolationReport{Status: v1alpha1.NodeIsolationReportStatus{Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking},
			{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished},
		}}}
	}
	in.Agents["silent"] = now.Add(-time.Hour)
	degraded := &in.Reports["degraded"].Status.Conditions[1]
	degraded.Status, degraded.Reason, degraded.Message = metav1.ConditionTrue, "NoPtrace", "the kernel refuses to be read"
	return in
}

// sees makes the agent of the pod's node see it with these levels.
func (in *surroundings) sees(pod *corev1.Pod, l v1alpha1.Levels, findings ...v1alpha1.NodeFinding) {
	s := &in.Reports[pod.Spec.NodeName].Status
	s.Groups = append(s.Groups, v1alpha1.ObservedGroup{Levels: l, Inspected: true, Pods: []v1alpha1.ObservedPod{{UID: pod.UID}}})
	for _, f := range findings {
		f.Pod.UID = pod.UID
		s.Findings = append(s.Findings, f)
		s.FindingsTotal++
	}
}

// podOf is a running pod "namespace/name" of that spec.
func podOf(t *testing.T, namespace, name, spec string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name)}}
	fromYAML(t, spec, &pod.Spec)
	pod.Status.Phase = corev1.PodRunning
	return pod
}

// inhabited is the small cluster with a pod of each sort.
func inhabited(t *testing.T) (*surroundings, []*corev1.Pod) {
	t.Helper()
	in := small(t)
	pods := []*corev1.Pod{
		podOf(t, "shop", "web", "{nodeName: seen, containers: [{name: app}]}"),
		podOf(t, "shop", "escaped", "{nodeName: seen, containers: [{name: app}]}"),
		podOf(t, "shop", "debugger", "{nodeName: seen, serviceAccountName: debugger, hostNetwork: true, containers: [{name: app}]}"),
		podOf(t, "shop", "powerful", "{nodeName: seen, containers: [{name: app, securityContext: {privileged: true}}]}"),
		podOf(t, "shop", "doubted", "{nodeName: degraded, containers: [{name: app}]}"),
		podOf(t, "shop", "lost", "{nodeName: silent, containers: [{name: app}]}"),
		podOf(t, "shop", "pending", "{containers: [{name: app}]}"),
		podOf(t, "lab", "sandboxed", "{nodeName: bare, hostUsers: false, containers: [{name: app}]}"),
		podOf(t, "kube-system", "proxy", "{nodeName: seen, hostNetwork: true, containers: [{name: app}]}"),
		podOf(t, "shop", "over", "{nodeName: seen, hostPID: true, containers: [{name: app}]}"),
	}
	pods[9].Status.Phase = corev1.PodSucceeded
	onNetwork, onPID := isolated, isolated
	onNetwork.Network, onNetwork.UTS, onPID.PID = "Host", "Host", "Host"
	in.sees(pods[0], isolated)
	in.sees(pods[1], onPID, v1alpha1.NodeFinding{Kind: v1alpha1.Escape, Axis: "pid", Observed: "Host", Message: `process 7 ("nsenter") is in the node's pid namespace`})
	in.sees(pods[2], onNetwork)
	in.sees(pods[3], isolated)
	in.sees(pods[4], isolated)
	in.sees(pods[5], isolated)
	in.sees(pods[8], onNetwork, v1alpha1.NodeFinding{Kind: v1alpha1.Portal, Portal: "hostPaths", Message: "/etc is mounted"})
	return in, pods
}

// built is the overview of these pods.
func built(t *testing.T, in *surroundings, pods []*corev1.Pod) *overview {
	t.Helper()
	b, err := newBuilder(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		b.pod(pod)
	}
	return b.done()
}

// row finds the row of a pod.
func (o *overview) row(t *testing.T, name string) *podRow {
	t.Helper()
	for i := range o.Pods {
		if o.Pods[i].Name == name {
			return &o.Pods[i]
		}
	}
	t.Fatalf("there is no row of pod %s", name)
	return nil
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func expectContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in:\n%s", part, text)
		}
	}
}
