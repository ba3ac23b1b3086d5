// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestPolicyThatCannotBeJudgedByIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want []string // all in one error
	}{
		"an action that does not exist": {
			"admission: {action: deny}\nisolation: {pid: Pod}",
			[]string{`IsolationPolicy "tenants": spec.admission.action: "deny" is none of Deny, Warn, Audit`},
		},
		"levels that cannot be demanded": {
			"isolation: {pid: Foreign}",
			[]string{`spec.isolation: isolation.pid: "Foreign" cannot be demanded, only Host, Pod, Container`},
		},
		"a level of another axis": {
			"isolation: {network: Container}",
			[]string{`isolation.network: "Container" cannot be demanded, only Host, Pod`},
		},
		"a level that is no level": {
			"isolation: {mount: \"Unknown\\n\"}",
			[]string{`isolation.mount: "Unknown\n" cannot be demanded, only Host, Container`},
		},
		"an exemption's level": {
			"isolation: {pid: Pod}\nexemptions: [{name: a}, {name: b, isolation: {user: Container}}]",
			[]string{`spec.exemptions[1].isolation: isolation.user: "Container" cannot be demanded, only Host, Pod`},
		},
		"selectors": {
			`{isolation: {pid: Pod}, match: {namespaceSelector: {matchExpressions: [{key: a, operator: Like}]}, podSelector: {matchLabels: {"a b": c}}}}`,
			[]string{`spec.match.namespaceSelector: "Like" is not a valid label selector operator`, `spec.match.podSelector: key: Invalid value: "a b"`},
		},
		"everything at once": {
			"admission: {action: No}\nisolation: {pid: None}",
			[]string{"spec.admission.action:", "spec.isolation:"},
		},
		"capabilities that name none": {
			"portals: {capabilities: {forbid: []}}",
			[]string{"spec.portals: capabilities.forbid: it is empty and forbids nothing: name capabilities, or ALL"},
		},
		"an engine that does not exist": {
			"isolation: {pid: Pod}\nadmission: {action: Deny, engine: Webhok}",
			[]string{`spec.admission.engine: "Webhok" is none of Webhook, ValidatingAdmissionPolicy`},
		},
		"a switch that is no Forbid": {
			"portals: {privileged: forbid}",
			[]string{`spec.portals: privileged: "forbid" is not Forbid`},
		},
		"a switch of later versions": {
			"portals: {hostProbes: Limit}",
			[]string{`spec.portals: hostProbes: "Limit" is not Forbid`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := isolation.Compile(policyNamed(t, "tenants", c.spec))
			if err == nil || p != nil {
				t.Fatalf("compiled: %v, %v", p, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestCompiledPolicyKnowsItsObject(t *testing.T) {
	object := policyNamed(t, "tenants", "admission: {action: Warn}\nisolation: {pid: Container, user: Pod}")
	object.UID, object.Generation = "uid", 7
	p := compiled(t, object)
	if p.Name != "tenants" || p.UID != "uid" || p.Generation != 7 || p.Action != "Warn" || p.Engine != "Webhook" {
		t.Errorf("%+v", p)
	}
	want := isolation.Vector{isolation.PID: isolation.Container, isolation.User: isolation.Pod}
	if p.Required() != want {
		t.Errorf("requires %v", p.Required())
	}
	if p.NamespaceSelector != nil || p.PodSelector != nil {
		t.Error("selects")
	}
}
