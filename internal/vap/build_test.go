// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// everything is a policy that demands all that can be demanded.
const everything = `
isolation: {pid: Container, network: Pod, ipc: Pod, uts: Pod, user: Pod, cgroup: Container, mount: Container}
portals:
  privileged: Forbid
  procMount: Forbid
  mountPropagation: Forbid
  devices: Forbid
  runtimeSockets: Forbid
  windowsHostProcess: Forbid
  hostProbes: Forbid
  hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}, {pathPrefix: /srv}]}
  hostPorts: {allow: [{from: 30000, to: 31000}, {from: 80, to: 80}]}
  capabilities: {forbid: [SYS_ADMIN, CAP_SYS_PTRACE]}
exemptions:
- name: node-exporter
  reason: reads host metrics
  namespaces: [monitoring]
  serviceAccounts: [node-exporter]
  isolation: {pid: Host, network: Host, uts: Host}
  portals: {hostPaths: {allow: [{pathPrefix: /, readOnly: true}]}, hostPorts: {allow: [{from: 9100, to: 9100}]}, capabilities: {allow: [SYS_PTRACE]}}
  expires: "2027-03-31T00:00:00Z"
`

// policy is a policy called tenants with the fields of the spec in YAML; it denies unless they say
// otherwise.
func policy(tb testing.TB, spec string) *v1alpha1.IsolationPolicy {
	tb.Helper()
	p := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "tenants", UID: "11111111-2222-3333-4444-555555555555", Generation: 7}}
	p.Spec.Admission = v1alpha1.AdmissionSpec{Action: v1alpha1.Deny, Engine: v1alpha1.EngineValidatingAdmissionPolicy}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		tb.Fatalf("%v in:\n%s", err, spec)
	}
	return p
}

// pod is a pod in namespace shop with the fields of the spec in YAML, which asks for a user namespace
// and has a container called app, unless they say otherwise.
func pod(tb testing.TB, spec string) *corev1.Pod {
	tb.Helper()
	no := false
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cart", Namespace: "shop", CreationTimestamp: metav1.NewTime(noon)},
		Spec:       corev1.PodSpec{HostUsers: &no},
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		tb.Fatalf("%v in:\n%s", err, spec)
	}
	if p.Spec.Containers == nil {
		p.Spec.Containers = []corev1.Container{{Name: "app"}}
	}
	return p
}

// expectRefused fails unless the policy refuses the request and tells all of these.
func expectRefused(tb testing.TB, a answer, want ...string) {
	tb.Helper()
	if a.allowed || a.broken {
		tb.Errorf("admitted: %t, broken: %t, message: %s", a.allowed, a.broken, a.message)
	}
	for _, w := range want {
		if !strings.Contains(a.message, w) {
			tb.Errorf("the message lacks %q: %s", w, a.message)
		}
	}
}

// expectAdmitted fails unless the policy admits the request.
func expectAdmitted(tb testing.TB, a answer) {
	tb.Helper()
	if !a.allowed || a.broken {
		tb.Errorf("refused; broken: %t, message: %s", a.broken, a.message)
	}
}
