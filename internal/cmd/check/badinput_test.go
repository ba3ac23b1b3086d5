// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// Every bad input ends with code 2, names file, document and reason, and judges nothing.
func TestRefusesBadManifests(t *testing.T) {
	t.Parallel()
	good := pod("good", "")
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a misspelt field":                         {pod("a", "  hostPid: true\n"), []string{`document 1 (line 1)`, `unknown field "spec.hostPid"`}},
		"a misspelt field further on":              {good + "---\n" + pod("a", "  hostpid: true\n"), []string{`document 2 (line 7)`, `unknown field "spec.hostpid"`}},
		"a key that is there twice":                {pod("a", "  hostPID: true\n  hostPID: false\n"), []string{`document 1`, `key "hostPID" is there twice: in line 6 and in line 7`}},
		"a key twice in JSON":                      {`{"apiVersion":"v1","kind":"Pod","spec":{"hostPID":true,"hostPID":false}}`, []string{`duplicate field "spec.hostPID"`}},
		"a key twice further on":                   {good + "---\n# c\n" + pod("a", "  hostPID: true\n  \"hostPID\": false\n"), []string{"document 2", "in line 13 and in line 14"}},
		"a key twice beside a merge":               {pod("a", "  securityContext: &m {}\n  hostPID: true\n  <<: {hostIPC: true}\n  hostPID: false\n"), []string{"in line 7 and in line 9"}},
		"a value of another type":                  {pod("a", "  hostPID: \"true\"\n"), []string{"hostPID", "string"}},
		"half a document":                          {"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  cont", []string{"document 1"}},
		"a document cut off before its containers": {"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n", []string{"spec.containers is missing", "cut off"}},
		"a workload cut off":                       {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n", []string{"spec.template.spec.containers is missing"}},
		"broken YAML further on":                   {good + "---\nkind: [\n", []string{"document 2 (line 7)", "yaml: line 7"}},
		"broken JSON":                              {`{"apiVersion":"v1","kind":`, []string{"document 1"}},
		"a document without a kind":                {good + "---\napiVersion: v1\n", []string{"document 2", `needs apiVersion and kind`}},
		"a document that is no object":             {"just text\n", []string{`is no Kubernetes object, but "just text"`}},
		"a kind that does not exist":               {"apiVersion: v1\nkind: pod\nmetadata: {name: a}\n", []string{`no kind "pod" in apiVersion "v1"`}},
		"a version that is not served":             {"apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a}\n", []string{"not served", "apps/v1"}},
		"a workload in the wrong group":            {"apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n", []string{`no kind "Deployment" in apiVersion "v1"`}},
		"a list without items":                     {"apiVersion: v1\nkind: List\nitem: []\n", []string{"items is missing"}},
		"a list whose items were cut off":          {"apiVersion: v1\nkind: PodList\nitems:\n", []string{"items is missing"}},
		"a bad item of a list":                     {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, spec: {x: 1}}\n", []string{"document 1 (line 1), item 1", `unknown field "spec.x"`}},
		"an item without a kind":                   {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1}\n", []string{"item 1", "needs apiVersion and kind"}},
		"a document behind an end marker":          {good + "...\n" + pod("b", "  hostPID: true\n"), []string{"second document begins"}},
		"text left of the beginning":               {" apiVersion: v1\n kind: Pod\n metadata: {name: a}\n spec: {containers: [{name: c}]}\nspec: {hostPID: true}\n", []string{"second document begins"}},
		"text behind a separator":                  {good + "--- {a: b}\n", []string{"document 2", "after ---"}},
		"a namespace without a name":               {"apiVersion: v1\nkind: Namespace\nmetadata: {}\n", []string{"metadata.name is missing"}},
		"a namespace with two sets of labels": {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {tenancy: shared}}\n",
			[]string{"document 2", `namespace "a" is there twice`}},
		"a template that was not rendered": {"apiVersion: v1\nkind: Pod\n{{ if .x }}\n", []string{"looks like a template", "helm template"}},
		"UTF-16 that holds no object":      {"\xff\xfea\x00", []string{`is no Kubernetes object, but "a"`}},
		"keys that are equal in JSON":      {"apiVersion: v1\nkind: Pod\nmetadata: {labels: {1: a, \"1\": b}}\n", []string{`key "1" is there twice`}},
		"keys that are equal numbers":      {"apiVersion: v1\nkind: Pod\nmetadata: {labels: {1: a, 0x1: b}}\n", []string{"line 3", "already set"}},
		"nothing":                          {"", []string{"holds no document"}},
		"comments only":                    {"# one\n---\n# two\n---\n", []string{"holds no document"}},
		"an empty value":                   {"---\nnull\n", []string{"holds no document"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, "in.yaml", c.text)
			o := run(t, "", "-f", path, "--policy", file(t, "p.yaml", denyHostPID))
			if o.code != 2 {
				t.Errorf("exit code %d, want 2", o.code)
			}
			if o.out != "" {
				t.Errorf("something was judged:\n%s", o.out)
			}
			wantContains(t, "standard error", o.errOut, append(c.want, path)...)
		})
	}
}

func TestRefusesBadPolicies(t *testing.T) {
	t.Parallel()
	policy := func(spec string) string {
		return "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: p}\nspec:\n" + spec
	}
	const valid = "  isolation: {pid: Pod}\n  admission: {action: Deny}\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"an axis that does not exist":        {policy("  isolation: {pdi: Pod}\n  admission: {action: Deny}\n"), []string{`unknown field "spec.isolation.pdi"`}},
		"a level that does not exist":        {policy("  isolation: {pid: pod}\n  admission: {action: Deny}\n"), []string{"spec.isolation.pid", `"pod"`, `"Pod"`}},
		"a level that cannot be demanded":    {policy("  isolation: {network: Container}\n  admission: {action: Deny}\n"), []string{"spec.isolation.network"}},
		"an action that does not exist":      {policy("  isolation: {pid: Pod}\n  admission: {action: Refuse}\n"), []string{"spec.admission.action", `"Refuse"`}},
		"no action":                          {policy("  isolation: {pid: Pod}\n"), []string{"spec.admission", "Required"}},
		"no demand":                          {policy("  admission: {action: Deny}\n"), []string{"the policy demands nothing"}},
		"an engine that does not exist":      {policy("  isolation: {pid: Pod}\n  admission: {action: Deny, engine: Gatekeeper}\n"), []string{"spec.admission.engine", `"Gatekeeper"`}},
		"a runtime action that is none":      {policy(valid + "  runtime: {action: Kill}\n"), []string{"spec.runtime.action", `"Evict"`, `"Report"`}},
		"a portal that does not exist":       {policy(valid + "  portals: {hostUsers: Forbid}\n"), []string{`unknown field "spec.portals.hostUsers"`}},
		"a selector that is wrong":           {policy(valid + "  match: {podSelector: {matchExpressions: [{key: a, operator: Is}]}}\n"), []string{"spec.match.podSelector", `"Is"`}},
		"a relative path":                    {policy("  portals: {hostPaths: {allow: [{pathPrefix: var}]}}\n  admission: {action: Deny}\n"), []string{"absolute path"}},
		"a range that ends before it begins": {policy("  portals: {hostPorts: {allow: [{from: 2, to: 1}]}}\n  admission: {action: Deny}\n"), []string{"from must not be greater"}},
		"an exemption without a reason":      {policy(valid + "  exemptions: [{name: a, namespaces: [b], isolation: {pid: Host}}]\n"), []string{"spec.exemptions[0].reason"}},
		"an exemption twice": {policy(valid + "  exemptions: [{name: a, reason: r, namespaces: [b], isolation: {pid: Host}}, {name: a, reason: r, namespaces: [c], isolation: {pid: Host}}]\n"),
			[]string{"spec.exemptions[1]", "Duplicate"}},
		"no name":                       {strings.Replace(policy(valid), "{name: p}", "{}", 1), []string{"metadata.name"}},
		"a name that is too long":       {strings.Replace(policy(valid), "name: p", "name: "+strings.Repeat("p", 64), 1), []string{"at most 63 characters"}},
		"a version that does not exist": {strings.Replace(policy(valid), "v1alpha1", "v2", 1), []string{"is no IsolationPolicy of bulkhead.dev/v1alpha1"}},
		"the same name twice":           {policy(valid) + "---\n" + policy(valid), []string{"document 2", `"p" is also in`, "document 1"}},
		"no policy":                     {pod("a", ""), []string{"holds no IsolationPolicy"}},
		"nothing":                       {"", []string{"holds no document"}},
		"a bad item of a list":          {"apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicyList\nitems:\n- {metadata: {name: p}, spec: {}}\n", []string{"item 1", "spec.admission"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, "policy.yaml", c.text)
			o := run(t, pod("a", ""), "-f", "-", "--policy", path)
			if o.code != 2 {
				t.Errorf("exit code %d, want 2", o.code)
			}
			if o.out != "" {
				t.Errorf("something was judged:\n%s", o.out)
			}
			wantContains(t, "standard error", o.errOut, append(c.want, path)...)
		})
	}
}

func TestTellsAllBadInputsAtOnce(t *testing.T) {
	t.Parallel()
	manifests := folder(t, map[string]string{
		"a.yaml": pod("a", "  x: 1\n  v: 1\n"),
		"b.yaml": pod("b", "") + "---\n" + pod("c", "  z: 1\n") + "---\n" + pod("d", "  w: 1\n"),
	})
	policies := folder(t, map[string]string{
		"p.yaml": strings.Replace(denyHostPID, "Container", "Contained", 1),
		"q.yaml": strings.Replace(denyHostPID, "Deny", "Refuse", 1),
	})
	missing := filepath.Join(manifests, "missing.yaml")
	o := run(t, "", "-f", manifests, "-f", missing, "--policy", policies, "--namespaces", missing)
	if o.code != 2 || o.out != "" {
		t.Errorf("exit code %d, want 2, and standard output\n%s", o.code, o.out)
	}
	wantContains(t, "standard error", o.errOut,
		`"spec.x"`, `"spec.v"`, `"spec.z"`, `"spec.w"`, `"Contained"`, `"Refuse"`,
		missing+": cannot be read: no such file or directory")
}

func TestRefusesFoldersAndCallsThatWouldJudgeNothing(t *testing.T) {
	t.Parallel()
	policy := file(t, "p.yaml", denyHostPID)
	manifest := file(t, "m.yaml", pod("a", ""))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a folder that is empty":            {[]string{"-f", t.TempDir(), "--policy", policy}, "has no *.yaml, *.yml or *.json"},
		"a folder of other files":           {[]string{"-f", folder(t, map[string]string{"a.txt": pod("a", "")}), "--policy", policy}, "has no *.yaml"},
		"a folder of folders":               {[]string{"-f", folder(t, map[string]string{"b/a.yaml": pod("a", "")}), "--policy", policy}, "--recursive"},
		"a folder of comments":              {[]string{"-f", folder(t, map[string]string{"a.yaml": "# x\n", "b.yaml": ""}), "--policy", policy}, "hold no document"},
		"a missing file":                    {[]string{"-f", "missing.yaml", "--policy", policy}, "missing.yaml: cannot be read"},
		"a missing policy":                  {[]string{"-f", manifest, "--policy", "missing.yaml"}, "missing.yaml: cannot be read"},
		"no manifest":                       {[]string{"--policy", policy}, "at least one of the flags in the group [filename kustomize] is required"},
		"no policy":                         {[]string{"-f", manifest}, `"policy" not set`},
		"an output that does not exist":     {[]string{"-f", manifest, "--policy", policy, "-o", "xml"}, `--output "xml": it can be table, json, yaml, sarif or junit`},
		"an action that does not exist":     {[]string{"-f", manifest, "--policy", policy, "--fail-on", "Deny"}, `--fail-on "Deny": it can be deny, warn or audit`},
		"a web address":                     {[]string{"-f", "https://example.com/a.yaml", "--policy", policy}, "curl -fsSLO https://example.com/a.yaml"},
		"a pattern that matches none":       {[]string{"-f", filepath.Join(t.TempDir(), "*.yaml"), "--policy", policy}, "*.yaml: cannot be read"},
		"a file and a kustomization":        {[]string{"-f", manifest, "-k", ".", "--policy", policy}, "[filename kustomize]"},
		"a folder that is no kustomization": {[]string{"-k", t.TempDir(), "--policy", policy}, "cannot be built"},
		"a time that is none":               {[]string{"-f", manifest, "--policy", policy, "--now", "tomorrow"}, `--now "tomorrow"`},
		"standard input twice":              {[]string{"-f", "-", "--policy", "-"}, "once only"},
		"an argument":                       {[]string{manifest, "--policy", policy, "-f", manifest}, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := run(t, "", c.args...)
			if o.code != 2 || o.out != "" {
				t.Errorf("exit code %d, want 2, and standard output\n%s", o.code, o.out)
			}
			wantContains(t, "standard error", o.errOut, c.want)
		})
	}
}
