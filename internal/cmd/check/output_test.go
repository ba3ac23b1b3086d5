// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestFailsFromTheActionOn(t *testing.T) {
	t.Parallel()
	specs := map[string]string{"nothing": "", "audited": "  hostIPC: true\n", "warned": "  hostNetwork: true\n", "denied": "  hostPID: true\n"}
	for limit, failing := range map[string][]string{
		"deny": {"denied"}, "warn": {"denied", "warned"}, "audit": {"denied", "warned", "audited"},
	} {
		for verdict, spec := range specs {
			t.Run(limit+" "+verdict, func(t *testing.T) {
				t.Parallel()
				o := run(t, pod("a", spec), "-f", "-", "--policy", file(t, "p.yaml", levels), "--fail-on", limit)
				if want := slices.Contains(failing, verdict); (o.code == 1) != want || o.code > 1 {
					t.Errorf("exit code %d, fails: %v\n%s", o.code, want, o.errOut)
				}
			})
		}
	}
}

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	t.Parallel()
	args := []string{"-f", "-", "--policy", file(t, "p.yaml", levels), "-n", "debug", "-o"}
	in := pod("a", "  hostPID: true\n  hostNetwork: true\n") + "---\n" + pod("b", "")
	var fromJSON, fromYAML any
	if err := json.Unmarshal([]byte(run(t, in, append(args, "json")...).out), &fromJSON); err != nil {
		t.Fatal(err)
	}
	o := run(t, in, append(args, "yaml")...)
	if err := yaml.UnmarshalStrict([]byte(o.out), &fromYAML); err != nil {
		t.Fatalf("%v\n%s", err, o.out)
	}
	if !reflect.DeepEqual(fromJSON, fromYAML) {
		t.Errorf("JSON %v\nYAML %v", fromJSON, fromYAML)
	}
	wantContains(t, "YAML", o.out, "results:\n- ", "  file: stdin\n", "verdict: warned\n")
}

func TestTellsTheLineOfEveryViolation(t *testing.T) {
	t.Parallel()
	const everything = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: all}
spec:
  isolation: {pid: Container, user: Pod}
  portals: {privileged: Forbid, capabilities: {forbid: [SYS_ADMIN]}, hostPaths: {}, hostPorts: {}, runtimeSockets: Forbid}
  admission: {action: Deny}
`
	dir := folder(t, map[string]string{"a.yaml": `# a deployment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      hostPID: true
      containers:
      - name: app
        securityContext:
          capabilities:
            add:
            - NET_ADMIN
            - SYS_ADMIN
        ports:
        - {containerPort: 80, hostPort: 80}
      - name: side
        securityContext: {privileged: true}
      volumes:
      - name: docker
        hostPath:
          path: /var/run/docker.sock
---
` + pod("b", "  hostUsers: false\n"), "b.json": `{
  "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"},
  "spec": {
    "containers": [
      {"name": "c"}
    ],
    "hostPID": true
  }
}`})
	o := run(t, "", "-f", dir, "--policy", file(t, "p.yaml", everything), "-o", "json")
	var j judged
	if err := json.Unmarshal([]byte(o.out), &j); err != nil {
		t.Fatalf("%v\n%s", err, o.errOut)
	}
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.json")
	const spec = "spec.template.spec."
	want := []string{
		spec + "hostPID " + a + ":9",
		spec + "hostUsers " + a + ":8", // it is not there: the spec is
		spec + "containers[1].securityContext.privileged " + a + ":20",
		spec + "containers[0].securityContext.capabilities.add[1] " + a + ":16",
		spec + "containers[1].securityContext.privileged " + a + ":20",
		spec + "volumes[0].hostPath.path " + a + ":24",
		spec + "volumes[0].hostPath.path " + a + ":24",
		spec + "containers[0].ports[0].hostPort " + a + ":18",
		"spec.hostPID " + b + ":7",
		"spec.hostUsers " + b + ":3",
	}
	if got := j.lines(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	table := run(t, "", "-f", dir, "--policy", file(t, "p.yaml", everything))
	wantContains(t, "the table", table.out, " "+a+":16 ", " "+b+":7 ")
	if r := j.Results[1]; r.Name != "b" || r.Document != 2 || r.Line != 26 {
		t.Errorf("the second document is %+v", r)
	}
}

func TestTellsWhatExemptionsOpen(t *testing.T) {
	t.Parallel()
	policy := denyHostPID + `  portals: {hostPaths: {}}
  exemptions:
  - {name: one, reason: they debug, namespaces: [default], isolation: {pid: Host}}
  - {name: two, reason: logs, namespaces: [default], portals: {hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}]}}}
`
	j, _ := judge(t, pod("a", "  hostPID: true\n  volumes:\n  - {name: a, hostPath: {path: /var/log}}\n  - {name: b, hostPath: {path: /etc}}\n"), policy)
	r := j.Results[0]
	if got := j.fields(); r.Verdict != "denied" || got != "spec.volumes[1].hostPath.path" {
		t.Errorf("%s for %s", r.Verdict, got)
	}
	var got []string
	for _, e := range r.Exempted {
		for _, x := range e.Exemptions {
			got = append(got, e.Field+" "+e.Verdict+" by "+x.Name+": "+x.Reason)
		}
	}
	want := []string{"spec.hostPID exempt by one: they debug", "spec.volumes[0].hostPath.path exempt by two: logs"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.Exempted[0].Line != 6 || r.Exempted[1].Line != 8 {
		t.Errorf("lines %d and %d", r.Exempted[0].Line, r.Exempted[1].Line)
	}
}

func TestReadsKustomizationsAndPatterns(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"base/kustomization.yaml":         "resources: [pod.yaml]\n",
		"base/pod.yaml":                   pod("a", ""),
		"prod/kustomization.yaml":         "resources: [../base]\nnamePrefix: prod-\npatches: [{path: patch.yaml}]\n",
		"prod/patch.yaml":                 "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: true}\n",
		"twice/kustomization.yaml":        "resources: [pod.yaml]\n",
		"twice/pod.yaml":                  pod("a", "  hostPid: true\n"),
		"patterns/1.yaml":                 pod("one", ""),
		"patterns/2.yaml":                 pod("two", "  hostPID: true\n"),
		"patterns/2.txt":                  "no manifest",
		"patterns/below/kustomization.md": "",
	})
	policy := file(t, "p.yaml", denyHostPID)
	built := run(t, "", "-k", filepath.Join(dir, "prod"), "--policy", policy)
	if built.code != 1 {
		t.Errorf("exit code %d\n%s", built.code, built.errOut)
	}
	wantContains(t, "the table", built.out, "prod-a", "prod (built):", "spec.hostPID")
	misspelt := run(t, "", "-k", filepath.Join(dir, "twice"), "--policy", policy)
	if misspelt.code != 2 {
		t.Errorf("exit code %d of a misspelt field", misspelt.code)
	}
	wantContains(t, "standard error", misspelt.errOut, "as kustomize builds it", `unknown field "spec.hostPid"`)
	matched := run(t, "", "-f", filepath.Join(dir, "patterns", "*.yaml"), "--policy", policy)
	wantContains(t, "standard output", matched.out, "1 denied, 1 allowed")
}

func TestNotesWhatThePoliciesLeaveOpen(t *testing.T) {
	t.Parallel()
	policy := denyHostPID + `  portals: {hostPaths: {allow: [{pathPrefix: /var/log}]}}
  exemptions:
  - {name: old, reason: r, namespaces: [web], isolation: {pid: Host}, expires: "2020-01-01T00:00:00Z"}
`
	o := run(t, pod("a", ""), "-f", "-", "--policy", file(t, "p.yaml", policy))
	if o.code != 0 {
		t.Errorf("exit code %d", o.code)
	}
	wantContains(t, "standard error", o.errOut, "note: IsolationPolicy tenants: spec.portals.hostPaths.allow[0]", "spec.exemptions[0].expires", "2020-01-01")
}
