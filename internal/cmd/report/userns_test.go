// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestReadinessForUserNamespaces(t *testing.T) {
	in, pods := inhabited(t)
	more := []*corev1.Pod{
		podOf(t, "lab", "claims", "{nodeName: seen, containers: [{name: app, volumeMounts: [{name: a}]}], volumes: [{name: a, persistentVolumeClaim: {claimName: c}}]}"),
		podOf(t, "lab", "visor", "{nodeName: seen, runtimeClassName: gvisor, containers: [{name: app}]}"),
		podOf(t, "lab", "odd", "{nodeName: seen, runtimeClassName: odd, containers: [{name: app}]}"),
	}
	r := readinessOf(t, in, append(pods, more...))
	states := make(map[string]string)
	for _, p := range r.Pods {
		states[p.Name] = string(p.State) + " " + p.Observed
	}
	for name, want := range map[string]string{
		"web": "Ready Host", "lost": "Ready Unknown", "powerful": "Blocked Host", "debugger": "Blocked Host", "pending": "Unclear Unknown",
		"claims": "Unclear Unknown", "visor": "Blocked Unknown", "odd": "Unclear Unknown", "sandboxed": "",
	} {
		if states[name] != want {
			t.Errorf("pod %s is %q, want %q", name, states[name], want)
		}
	}
	if want := (isolation.UserNamespaceCounts{Pods: 12, Own: 1, Ready: 4, Unclear: 3, Blocked: 4, SeenAtHost: 6}); r.Totals != want {
		t.Errorf("got %+v, want %+v", r.Totals, want)
	}
	var out strings.Builder
	if err := r.tables(&out, 0); err != nil {
		t.Fatal(err)
	}
	expectContains(t, out.String(), "lab          4     1    0      2        1", "Runtime 2, Volume 1", "HostNetwork  Refused", "shop/web", "spec.hostNetwork (Refused)")
}
