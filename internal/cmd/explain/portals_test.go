// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestEveryPortalOfAPolicyHasARow(t *testing.T) {
	var fields, rows []string
	api := reflect.TypeFor[v1alpha1.Portals]()
	for i := range api.NumField() {
		name, _, _ := strings.Cut(api.Field(i).Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	for i := range portals {
		rows = append(rows, portals[i].name)
	}
	slices.Sort(fields)
	slices.Sort(rows)
	if !slices.Equal(rows, fields) {
		t.Errorf("rows %v, fields %v", rows, fields)
	}
}

// greedy asks for every portal.
const greedy = `
containers:
- name: app
  ports: [{containerPort: 80, hostPort: 8080}]
  livenessProbe: {tcpSocket: {host: 127.0.0.1, port: 80}}
  securityContext: {privileged: true, procMount: Unmasked, capabilities: {add: [NET_ADMIN]}, windowsOptions: {hostProcess: true}}
  volumeMounts: [{name: run, mountPath: /run, mountPropagation: Bidirectional}]
volumes: [{name: run, hostPath: {path: /run}}, {name: dev, hostPath: {path: /dev}}]`

const strict = `
metadata: {name: strict}
spec:
  portals:
    capabilities: {forbid: [NET_ADMIN, SYS_ADMIN]}
    hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}]}
    hostPorts: {allow: [{from: 9100, to: 9100}, {from: 30000, to: 31000}]}
  admission: {action: Deny}`

func TestPortalsStandSideBySide(t *testing.T) {
	seen := isolation.Sight{Levels: isolation.Fill(isolation.Container), Inspected: true}
	rows := make(map[string]portalRow)
	for _, r := range explanationOf(t, greedy, seen, strict, tenants).tell().Portals {
		rows[r.Portal] = r
	}
	if len(rows) != len(portals) {
		t.Fatalf("rows: %+v", rows)
	}
	for name, r := range rows {
		if len(r.Claimed) == 0 {
			t.Errorf("%s: the spec asks for it, and nothing is told", name)
		}
	}
	for _, c := range []struct{ portal, policy, demand, field, value string }{
		{"capabilities", "strict", "Forbid NET_ADMIN, SYS_ADMIN", "spec.containers[0].securityContext.capabilities.add[0]", "NET_ADMIN"},
		{"hostPaths", "strict", "Forbid but /var/log (read-only)", "spec.volumes[1].hostPath.path", "/dev"},
		{"hostPorts", "strict", "Forbid but 9100, 30000-31000", "spec.containers[0].ports[0].hostPort", "8080"},
		{"runtimeSockets", "tenants", "Forbid", "spec.volumes[0].hostPath.path", "/run"},
	} {
		r := rows[c.portal]
		if !slices.Equal(r.Required, []portalDemand{{c.policy, c.demand}}) {
			t.Errorf("%s: required %+v, want %q by %s", c.portal, r.Required, c.demand, c.policy)
		}
		if !slices.Contains(r.Claimed, portalClaim{c.field, c.value}) {
			t.Errorf("%s: claimed %+v, want %s %s", c.portal, r.Claimed, c.field, c.value)
		}
	}
}

func TestWhatNobodyLookedAtIsNotCalledClosed(t *testing.T) {
	const plain = "containers: [{name: app}]"
	levels := isolation.Fill(isolation.Container)
	open := []v1alpha1.NodeFinding{{Kind: v1alpha1.Portal, Portal: "devices"}}
	unread := []v1alpha1.NodeFinding{{Kind: v1alpha1.Unverified, Portal: isolation.PortalMounts}}
	for name, c := range map[string]struct {
		sight isolation.Sight
		want  string
	}{
		"looked at closely":      {isolation.Sight{Levels: levels, Inspected: true}, portalAsClaimed},
		"found open":             {isolation.Sight{Levels: levels, Inspected: true, Findings: open}, portalOpen},
		"found open, not all of": {isolation.Sight{Levels: levels, Findings: open}, portalOpen},
		"not looked at yet":      {isolation.Sight{Levels: levels}, portalNotSeen},
		"not to be read":         {isolation.Sight{Levels: levels, Inspected: true, Findings: unread}, portalNotSeen},
		"by an agent in doubt":   {isolation.Sight{Levels: levels, Inspected: true, Doubt: "its agent does not see everything"}, portalNotSeen},
		"by nobody":              {isolation.Sight{Unseen: "no agent has reported", Inspected: true}, portalNotSeen},
	} {
		for _, r := range explanationOf(t, plain, c.sight).tell().Portals {
			switch {
			case r.Portal == "devices" && r.Observed != c.want:
				t.Errorf("%s: devices %s, want %s", name, r.Observed, c.want)
			case r.Portal == "hostPorts" && r.Observed != portalNoLook:
				t.Errorf("%s: hostPorts %s, though no process shows them", name, r.Observed)
			}
		}
	}
}
