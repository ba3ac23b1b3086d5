// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"strings"
	"testing"
)

func TestJudgesEveryKindThatHoldsPods(t *testing.T) {
	t.Parallel()
	const template = "{metadata: {labels: {a: b}}, spec: {hostPID: true, containers: [{name: c, image: i}]}}"
	for kind, c := range map[string]struct{ manifest, path string }{
		"Pod":                   {"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {hostPID: true, containers: [{name: c, image: i}]}", "spec.hostPID"},
		"PodTemplate":           {"apiVersion: v1\nkind: PodTemplate\nmetadata: {name: x}\ntemplate: " + template, "template.spec.hostPID"},
		"ReplicationController": {"apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\nspec: {template: " + template + "}", "spec.template.spec.hostPID"},
		"Deployment":            {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: " + template + "}", "spec.template.spec.hostPID"},
		"ReplicaSet":            {"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: x}\nspec: {template: " + template + "}", "spec.template.spec.hostPID"},
		"StatefulSet":           {"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: {template: " + template + "}", "spec.template.spec.hostPID"},
		"DaemonSet":             {"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {template: " + template + "}", "spec.template.spec.hostPID"},
		"Job":                   {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: " + template + "}", "spec.template.spec.hostPID"},
		"CronJob":               {"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {jobTemplate: {spec: {template: " + template + "}}}", "spec.jobTemplate.spec.template.spec.hostPID"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			j, o := judge(t, c.manifest, denyHostPID)
			if o.code != 1 {
				t.Errorf("exit code %d, want 1", o.code)
			}
			if len(j.Results) != 1 || len(j.Results[0].Violations) != 1 {
				t.Fatalf("want one result with one violation:\n%s", o.out)
			}
			r := j.Results[0]
			if r.Kind != kind || r.Namespace != "default" || r.Name != "x" || r.Verdict != "denied" {
				t.Errorf("got %+v", r)
			}
			v := r.Violations[0]
			if v.Policy != "tenants" || v.Axis != "pid" || v.Portal != "" || v.Field != c.path || v.Value != "true" {
				t.Errorf("got %+v", v)
			}
			wantContains(t, "the message", v.Message, c.path, "Container is required")
		})
	}
}

func TestNamespacesAboutWhichAdmissionDoesNotAskAreToldApart(t *testing.T) {
	t.Parallel()
	const manifests = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: kube-system}\nspec: {hostPID: true, containers: [{name: c, image: i}]}\n"
	j, o := judge(t, manifests, denyHostPID)
	if o.code != 0 || j.verdicts() != "x excluded" {
		t.Errorf("exit code %d, verdicts %s", o.code, j.verdicts())
	}
	wantContains(t, "standard error", o.errOut, "admission does not ask about pods of bulkhead-system, kube-system: 1 not judged")
	j, o = judge(t, manifests, denyHostPID, "--excluded-namespaces=")
	if o.code != 1 || j.verdicts() != "x denied" {
		t.Errorf("exit code %d, verdicts %s", o.code, j.verdicts())
	}
	for format, want := range map[string]string{
		"table": "excluded  stdin:1  Pod   kube-system  x     -       -      admission does not ask about this namespace\n1 excluded",
		"junit": `<skipped message="admission does not ask about this namespace">`,
	} {
		o = run(t, manifests, "-f", "-", "--policy", file(t, "p.yaml", denyHostPID), "-o", format)
		wantContains(t, format, o.out, want)
	}
}

func TestJSONIsStable(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(denyHostPID, "  admission", "  portals: {hostPaths: {}}\n  admission", 1)
	o := run(t, pod("good", "")+"---\n"+pod("bad", "  volumes: [{name: v, hostPath: {path: /etc}}]\n"),
		"-f", "-", "--policy", file(t, "p.yaml", policy), "-o", "json")
	const want = `{
  "results": [
    {
      "kind": "Pod",
      "namespace": "default",
      "name": "good",
      "verdict": "allowed",
      "file": "stdin",
      "document": 1,
      "line": 1,
      "violations": []
    },
    {
      "kind": "Pod",
      "namespace": "default",
      "name": "bad",
      "verdict": "denied",
      "file": "stdin",
      "document": 2,
      "line": 7,
      "violations": [
        {
          "policy": "tenants",
          "verdict": "denied",
          "portal": "hostPaths",
          "field": "spec.volumes[0].hostPath.path",
          "value": "/etc",
          "message": "spec.volumes[0].hostPath.path is /etc, which is not allowed: use a volume of another type; allowed none",
          "file": "stdin",
          "document": 2,
          "line": 12
        }
      ]
    }
  ]
}
`
	if o.out != want {
		t.Errorf("got\n%s\nwant\n%s", o.out, want)
	}
	if o.code != 1 {
		t.Errorf("exit code %d, want 1", o.code)
	}
}

// levels are policies of each action that hold for hostPID, hostNetwork and hostIPC.
const levels = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicyList
metadata: {}
items:
- metadata: {name: deny}
  spec:
    isolation: {pid: Container}
    admission: {action: Deny}
    exemptions:
    - {name: debuggers, reason: they debug, namespaces: [debug], isolation: {pid: Host}}
- metadata: {name: warn}
  spec: {isolation: {network: Pod}, admission: {action: Warn}}
- metadata: {name: audit}
  spec: {isolation: {ipc: Pod}, admission: {action: Audit}}
`

func TestTheWorstVerdictOfSeveralPoliciesCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec, namespace, verdict string
		code                     int
	}{
		"nothing is asked for":               {"", "default", "allowed", 0},
		"an audited field":                   {"  hostIPC: true\n", "default", "audited", 0},
		"a warned and an audited one":        {"  hostIPC: true\n  hostNetwork: true\n", "default", "warned", 0},
		"all of them":                        {"  hostIPC: true\n  hostNetwork: true\n  hostPID: true\n", "default", "denied", 1},
		"an exempt field":                    {"  hostPID: true\n", "debug", "exempt", 0},
		"an exempt field and an audited one": {"  hostPID: true\n  hostIPC: true\n", "debug", "audited", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, o := judge(t, pod("a", c.spec), levels, "--namespace", c.namespace)
			if got := j.verdicts(); got != "a "+c.verdict || o.code != c.code {
				t.Errorf("got %q and code %d, want %q and code %d", got, o.code, "a "+c.verdict, c.code)
			}
		})
	}
}

func TestTableTellsAViolationARowAndCounts(t *testing.T) {
	t.Parallel()
	in := pod("a", "  hostPID: true\n  hostNetwork: true\n") + "---\n" +
		strings.Replace(pod("b", "  hostPID: true\n"), "name: b", "name: b, namespace: debug", 1) + "---\n" + pod("c", "")
	o := run(t, in, "-f", "-", "--policy", file(t, "p.yaml", levels))
	const want = `VERDICT  WHERE     KIND  NAMESPACE  NAME  POLICY  ABOUT    MESSAGE
denied   stdin:6   Pod   default    a     deny    pid      spec.hostPID is true and claims Host, Container is required: remove it or set it to false
warned   stdin:7   Pod   default    a     warn    network  spec.hostNetwork is true and claims Host, Pod is required: remove it or set it to false
exempt   stdin:9   Pod   debug      b     deny    -        by exemption debuggers
allowed  stdin:16  Pod   default    c     -       -        -
1 denied, 1 exempt, 1 allowed
`
	if o.out != want {
		t.Errorf("got\n%s\nwant\n%s", o.out, want)
	}
	if o.errOut != "" && o.code != 1 {
		t.Errorf("code %d, standard error %q", o.code, o.errOut)
	}
}

func TestReadsWhatKubectlReads(t *testing.T) {
	t.Parallel()
	const a, b = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"hostPID":true,"containers":[{"name":"c"}]}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"name":"c"}]}}`
	const both = "a denied, b allowed"
	yaml := pod("a", "  hostPID: true\n") + "---\n" + pod("b", "")
	for name, c := range map[string]struct{ in, want string }{
		"separators before, between and after": {"---\n" + yaml + "---\n", both},
		"Windows line ends":                    {strings.ReplaceAll(yaml, "\n", "\r\n"), both},
		"a byte order mark":                    {"\xef\xbb\xbf" + yaml, both},
		"comments and empty documents":         {"# one\n---\n# two\n---\n\n---\n" + yaml + "---\n# three", both},
		"a comment behind a separator":         {strings.Replace(yaml, "---\n", "--- # b\n", 1), both},
		"no line end at the end":               {strings.TrimSuffix(yaml, "\n"), both},
		"dashes that separate nothing":         {pod("a", "  hostPID: true\n  nodeName: a---b...\n"), "a denied"},
		"anchors and merges": {"apiVersion: v1\nkind: List\nitems:\n- &p\n  apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n" +
			"  spec: &s {hostPID: true, containers: [{name: c}]}\n- {<<: *p, metadata: {name: b}, spec: {<<: *s, hostPID: false}}\n", both},
		"the words for true of YAML 1.1": {pod("a", "  hostPID: yes\n") + "---\n" + pod("b", "  hostPID: off\n"), both},
		"JSON":                           {a, "a denied"},
		"JSON objects in a row":          {a + "\n" + b, both},
		"JSON indented by tabs":          {"{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"},\n\t\"spec\": {\"containers\": [{\"name\": \"c\"}]}\n}\n", "b allowed"},
		"JSON and YAML":                  {a + "\n---\n" + pod("b", ""), both},
		"YAML that begins with a brace":  {"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostPID: true, containers: [{name: c}]}}\n", "a denied"},
		"a list":                         {`{"apiVersion":"v1","kind":"List","items":[` + a + "," + b + `]}`, both},
		"a list within a list":           {`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[` + a + `]},` + b + `]}`, both},
		"a list as the API server gives it": {"apiVersion: v1\nkind: PodList\nmetadata: {resourceVersion: \"1\"}\nitems:\n" +
			"- {metadata: {name: a}, spec: {hostPID: true, containers: [{name: c}]}}\n- {metadata: {name: b}, spec: {containers: [{name: c}]}}\n", both},
		"a list of workloads":            {"apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- {metadata: {name: a}, spec: {template: {spec: {hostPID: true, containers: [{name: c}]}}}}\n", "a denied"},
		"what kubectl get shows":         {pod("a", "  hostPID: true\n") + "status:\n  phase: Running\n  podIP: 10.0.0.1\n", "a denied"},
		"a name that is to be generated": {"apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {containers: [{name: c}]}\n", "a- allowed"},
		"an empty list":                  {"apiVersion: v1\nkind: List\nitems: []\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, o := judge(t, c.in, denyHostPID)
			if got := j.verdicts(); got != c.want {
				t.Errorf("got %q, want %q\n%s", got, c.want, o.errOut)
			}
		})
	}
}

func TestReadsFolders(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"b.yml": pod("b", ""), "a.yaml": pod("a", ""), "c.json": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"},"spec":{"containers":[{"name":"c"}]}}`,
		"notes.txt": "no manifest", "empty.yaml": "# nothing\n", "below/d.yaml": pod("d", "  hostPID: true\n"),
	})
	policies := folder(t, map[string]string{"p.yaml": denyHostPID, "kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"})
	t.Run("in the order of their files, and says what it did not read", func(t *testing.T) {
		t.Parallel()
		o := run(t, "", "-f", dir, "--policy", policies)
		if o.code != 0 {
			t.Errorf("exit code %d, want 0", o.code)
		}
		wantContains(t, "standard output", o.out, "3 allowed")
		if a, b, c := strings.Index(o.out, " a "), strings.Index(o.out, " b "), strings.Index(o.out, " c "); a > b || b > c {
			t.Errorf("not in order:\n%s", o.out)
		}
		wantContains(t, "standard error", o.errOut,
			"folders below were not read: below", "empty.yaml: holds no document", "left out: Kustomization")
	})
	t.Run("and folders below them if told so", func(t *testing.T) {
		t.Parallel()
		o := run(t, "", "-R", "-f", dir, "--policy", policies)
		if o.code != 1 {
			t.Errorf("exit code %d, want 1", o.code)
		}
		wantContains(t, "standard output", o.out, "1 denied, 3 allowed")
	})
}

func TestSaysWhatWasNotJudged(t *testing.T) {
	t.Parallel()
	const others = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\n---\n" +
		"apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: c}\n---\napiVersion: example.com/v1\nkind: AllowList\nspec: {}\n"
	t.Run("objects of other kinds", func(t *testing.T) {
		t.Parallel()
		j, o := judge(t, others+"---\n"+pod("a", ""), denyHostPID)
		if got := j.verdicts(); got != "a allowed" || o.code != 0 {
			t.Errorf("got %q and code %d", got, o.code)
		}
		wantContains(t, "standard error", o.errOut, "4 objects of other kinds were not judged: Service (2), Deployment, AllowList")
	})
	t.Run("everything", func(t *testing.T) {
		t.Parallel()
		o := run(t, others, "-f", "-", "--policy", file(t, "p.yaml", denyHostPID))
		if o.code != 0 || o.out != "nothing to judge\n" {
			t.Errorf("code %d, standard output %q", o.code, o.out)
		}
		wantContains(t, "standard error", o.errOut, "nothing was judged: the input holds no pod and no workload")
	})
	t.Run("policies in the input that were not given", func(t *testing.T) {
		t.Parallel()
		other := strings.Replace(denyHostPID, "name: tenants", "name: other", 1)
		j, o := judge(t, pod("a", "  hostPID: true\n")+"---"+denyHostPID+"---"+other, denyHostPID)
		if got := j.verdicts(); got != "a denied" {
			t.Errorf("got %q", got)
		}
		wantContains(t, "standard error", o.errOut, "left out: IsolationPolicy\n")
	})
	t.Run("what no policy matches", func(t *testing.T) {
		t.Parallel()
		policy := strings.Replace(denyHostPID, "spec:", "spec:\n  match: {podSelector: {matchLabels: {a: b}}}", 1)
		o := run(t, pod("a", "  hostPID: true\n"), "-f", "-", "--policy", file(t, "p.yaml", policy))
		if o.code != 0 {
			t.Errorf("exit code %d, want 0", o.code)
		}
		wantContains(t, "standard output", o.out, "no policy matches it")
		wantContains(t, "standard error", o.errOut, "no policy matches anything")
	})
}

func TestTextFromTheInputReachesNoTerminal(t *testing.T) {
	t.Parallel()
	const hostile = `"\e[2J\u009b2J\nforged\u202e"`
	in := "apiVersion: v1\nkind: Pod\nmetadata: {name: " + hostile + ", namespace: " + hostile + "}\n" +
		"spec:\n  containers: [{name: c}]\n  volumes: [{name: v, hostPath: {path: " + hostile + "}}]\n---\n" +
		"apiVersion: example.com/v1\nkind: " + hostile + "\n"
	policy := file(t, "p.yaml", strings.Replace(denyHostPID, "isolation: {pid: Container}", "portals: {hostPaths: {}}\n  match: {namespaceSelector: {matchLabels: {a: b}}}", 1))
	for _, format := range []string{"table", "json", "yaml", "sarif", "junit"} {
		o := run(t, in, "-f", "-", "--policy", policy, "-o", format)
		if o.code != 1 {
			t.Errorf("exit code %d, want 1\n%s", o.code, o.errOut)
		}
		bad := run(t, in+"---\n"+pod("a", "  "+hostile+": 1\n"), "-f", "-", "--policy", policy, "-o", format)
		if bad.code != 2 {
			t.Errorf("exit code %d, want 2", bad.code)
		}
		for _, text := range []string{o.out, o.errOut, bad.errOut} {
			for _, r := range text {
				if r != '\n' && (r < ' ' || r > '~') {
					t.Fatalf("%U reached the terminal:\n%q", r, text)
				}
			}
			for line := range strings.SplitSeq(text, "\n") {
				if strings.HasPrefix(line, "forged") {
					t.Errorf("a line was forged:\n%s", text)
				}
			}
		}
	}
}
