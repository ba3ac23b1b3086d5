// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestJSONHasAllOfItAndYAMLTheSame(t *testing.T) {
	levels := isolation.Fill(isolation.Container)
	levels[isolation.Network] = isolation.Host
	e := explanationOf(t, "containers: [{name: app}]", isolation.Sight{Levels: levels, Inspected: true, Findings: []v1alpha1.NodeFinding{
		{Kind: v1alpha1.Escape, Axis: "network", Container: "app", Observed: "Host", Message: "process 7 is\x1b[2J out", Evidence: &v1alpha1.Evidence{PID: 7, Check: "rm -rf /"}},
	}}, tenants, others)
	asJSON, asYAML := printed(t, e, "json"), printed(t, e, "yaml")
	d := json.NewDecoder(strings.NewReader(asJSON))
	d.DisallowUnknownFields()
	var got told
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.APIVersion != "report.bulkhead.dev/v1alpha1" || got.Kind != "PodExplanation" || got.GeneratedAt != "2027-01-15T08:00:00Z" {
		t.Errorf("header: %+v", got)
	}
	if got.Pod.Name != "web" || got.Pod.Node != "n1" || got.NotMatching != 1 {
		t.Errorf("pod: %+v", got.Pod)
	}
	if o := got.Observation; o.Report != "n1" || o.AliveAt != "2027-01-15T07:59:30Z" || o.ChangedAt != "2027-01-15T07:00:00Z" || !o.Inspected {
		t.Errorf("observation: %+v", o)
	}
	if want := (axisRow{"network", "Pod", "Pod", "Host", []string{"tenants"}}); !reflect.DeepEqual(got.Axes[1], want) {
		t.Errorf("axis: %+v, want %+v", got.Axes[1], want)
	}
	if p := got.Policies[0]; p.Name != "tenants" || p.Verdict != "Breached" || p.Verified || len(p.Findings) != 1 ||
		p.Findings[0].Kind != "Escape" || !strings.Contains(p.Findings[0].Change, "delete the pod") {
		t.Errorf("policy: %+v", p)
	}
	if f := got.Findings[0]; f.Check != "readlink /proc/7/ns/net" || f.Message != `process 7 is\x1b[2J out` {
		t.Errorf("finding: %+v", f)
	}
	converted, err := yaml.YAMLToJSON([]byte(asYAML))
	if err != nil {
		t.Fatal(err)
	}
	var one, other any
	if err := json.Unmarshal([]byte(asJSON), &one); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(converted, &other); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(one, other) {
		t.Errorf("%s\nwant\n%s", asYAML, asJSON)
	}
}

func TestSaysWhatToChange(t *testing.T) {
	const cgroups = "metadata: {name: cgroups}\nspec: {isolation: {cgroup: Container}, admission: {action: Warn}}"
	const plain = "containers: [{name: app}]"
	at := func(a isolation.Axis, l isolation.Level) isolation.Vector {
		levels := isolation.Fill(isolation.Container)
		levels[a] = l
		return levels
	}
	for name, c := range map[string]struct {
		spec  string
		sight isolation.Sight
		under string
		want  string
	}{
		"where the spec asks for it, in the field": {"hostNetwork: true\n" + plain, isolation.Sight{Levels: at(isolation.Network, isolation.Host), Inspected: true}, tenants,
			"spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false"},
		"where it was given less, at the runtime": {plain, isolation.Sight{Levels: at(isolation.PID, isolation.Host), Inspected: true}, tenants, "delete the pod, so that it is made anew"},
		"where no field decides, on the node":     {plain, isolation.Sight{Levels: at(isolation.Cgroup, isolation.Host), Inspected: true}, cgroups, "on a node with cgroup v2 each container gets its own"},
		"where two pods are in one namespace":     {plain, isolation.Sight{Levels: at(isolation.PID, isolation.Foreign), Inspected: true}, tenants, "which of the two entered the other's is not known"},
		"where it could not be read":              {plain, isolation.Sight{Levels: at(isolation.PID, isolation.Unknown), Inspected: true}, tenants, "kubectl describe nodeisolationreport n1"},
	} {
		if text, _ := explained(t, c.spec, c.sight, c.under); !strings.Contains(text, c.want) {
			t.Errorf("%s: no %q in\n%s", name, c.want, text)
		}
	}
}
