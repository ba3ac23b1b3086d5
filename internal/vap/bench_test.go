// SPDX-License-Identifier: Apache-2.0

package vap_test

import "testing"

// What the API server spends on a pod of which the policy has nothing to say.
func BenchmarkPodThatAsksForNothing(b *testing.B) {
	benchmark(b, `{containers: [{name: app, ports: [{containerPort: 80}], securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}},
		volumeMounts: [{name: data, mountPath: /data}], livenessProbe: {httpGet: {port: 80}}}], volumes: [{name: data, emptyDir: {}}]}`)
}

// What it spends on one that is refused.
func BenchmarkPodThatIsRefused(b *testing.B) {
	benchmark(b, "{hostPID: true, containers: [{name: app, securityContext: {privileged: true}}]}")
}

func benchmark(b *testing.B, spec string) {
	e := newEvaluator(b, policy(b, everything))
	r := &request{pod: pod(b, spec)}
	b.ReportAllocs()
	for b.Loop() {
		e.judge(r)
	}
}
