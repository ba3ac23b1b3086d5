// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"strings"
	"testing"
)

// selecting is a policy for namespaces with labels.
func selecting(selector string) string {
	return strings.Replace(denyHostPID, "spec:", "spec:\n  match: {namespaceSelector: "+selector+"}", 1)
}

// in is a pod with hostPID in a namespace.
func in(namespace, name string) string {
	return strings.Replace(pod(name, "  hostPID: true\n"), "{name: "+name, "{namespace: "+namespace+", name: "+name, 1)
}

const (
	shared = "apiVersion: v1\nkind: Namespace\nmetadata: {name: web, labels: {tenancy: shared}}\n"
	owned  = "apiVersion: v1\nkind: Namespace\nmetadata: {name: web, labels: {tenancy: owned}}\n"

	unknown = "the labels of namespace web are not known"
)

func TestNamespacesAreMatchedByTheirLabels(t *testing.T) {
	t.Parallel()
	const tenants = "{matchLabels: {tenancy: shared}}"
	for name, c := range map[string]struct {
		selector, input, namespaces string
		want                        string
		unknown                     bool
	}{
		"that the input tells, before the pod": {tenants, shared + "---\n" + in("web", "a"), "", "a denied", false},
		"that the input tells, after the pod":  {tenants, in("web", "a") + "---\n" + owned, "", "a allowed", false},
		"that --namespaces tells":              {tenants, in("web", "a"), owned, "a allowed", false},
		"that a list tells":                    {tenants, in("web", "a"), "apiVersion: v1\nkind: NamespaceList\nitems:\n- {metadata: {name: web}}\n", "a allowed", false},
		"and taken to match if nobody tells":   {tenants, in("web", "a"), "", "a denied", true},
		"and taken to match beside others":     {tenants, in("web", "a"), strings.ReplaceAll(owned, "web", "other"), "a denied", true},
		"by the name that the API server sets, if known": {"{matchLabels: {kubernetes.io/metadata.name: web}}",
			in("web", "a") + "---\n" + in("other", "b"), owned, "a denied, b allowed", false},
		"by the name that the API server sets, if not": {"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [other]}]}",
			in("web", "a") + "---\n" + in("other", "b"), "", "a denied, b allowed", false},
		"by name and label, as far as that is known": {"{matchLabels: {kubernetes.io/metadata.name: web, tenancy: shared}}",
			in("web", "a") + "---\n" + in("other", "b"), "", "a denied, b allowed", true},
		"and a name that is claimed counts for nothing": {"{matchLabels: {kubernetes.io/metadata.name: other}}",
			in("web", "a"), strings.Replace(owned, "tenancy: owned", "kubernetes.io/metadata.name: other", 1), "a allowed", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var args []string
			if c.namespaces != "" {
				args = []string{"--namespaces", file(t, "n.yaml", c.namespaces)}
			}
			j, o := judge(t, c.input, selecting(c.selector), args...)
			if got := j.verdicts(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := strings.Contains(o.errOut, unknown); got != c.unknown {
				t.Errorf("says %q: %v, want %v\n%s", unknown, got, c.unknown, o.errOut)
			}
		})
	}
}

func TestLabelsThatAreNotKnownAreSaid(t *testing.T) {
	t.Parallel()
	t.Run("once for a namespace, and in the table", func(t *testing.T) {
		t.Parallel()
		o := run(t, in("web", "a")+"---\n"+in("web", "b"), "-f", "-", "--policy", file(t, "p.yaml", selecting("{matchLabels: {a: b}}")))
		if n := strings.Count(o.errOut, unknown); n != 1 {
			t.Errorf("said %d times, want once:\n%s", n, o.errOut)
		}
		if n := strings.Count(o.out, "labels are not known"); n != 2 {
			t.Errorf("in %d rows of the table, want 2:\n%s", n, o.out)
		}
	})
	t.Run("only where they matter", func(t *testing.T) {
		t.Parallel()
		o := run(t, in("web", "a"), "-f", "-", "--policy", file(t, "p.yaml", denyHostPID))
		if strings.Contains(o.errOut+o.out, "labels") {
			t.Errorf("no policy selects namespaces:\n%s%s", o.out, o.errOut)
		}
	})
	t.Run("and the manifests' labels win, which is said as well", func(t *testing.T) {
		t.Parallel()
		j, o := judge(t, in("web", "a")+"---\n"+shared, selecting("{matchLabels: {tenancy: shared}}"), "--namespaces", file(t, "n.yaml", owned))
		if got := j.verdicts(); got != "a denied" {
			t.Errorf("got %q", got)
		}
		wantContains(t, "standard error", o.errOut, "namespace web has other labels in the manifests")
	})
}

func TestTheNamespaceOfAManifest(t *testing.T) {
	t.Parallel()
	policy := selecting("{matchLabels: {kubernetes.io/metadata.name: web}}")
	input := in("web", "a") + "---\n" + pod("b", "  hostPID: true\n")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"is default if it names none":  {nil, "a denied, b allowed"},
		"is that of --namespace if so": {[]string{"--namespace", "web"}, "a denied, b denied"},
		"is its own, whatever is told": {[]string{"-n", "other"}, "a denied, b allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, _ := judge(t, input, policy, c.args...)
			if got := j.verdicts(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExemptions(t *testing.T) {
	t.Parallel()
	policy := denyHostPID + `  exemptions:
  - name: debuggers
    reason: they debug
    namespaces: [default]
    serviceAccounts: [debugger]
    isolation: {pid: Host}
    expires: "2027-03-31T00:00:00Z"
`
	debugger := pod("a", "  hostPID: true\n  serviceAccountName: debugger\n")
	for name, c := range map[string]struct{ in, now, want string }{
		"cover whom they name":                       {debugger, "2027-03-30T23:59:59Z", "a exempt"},
		"cover by the former name of the field":      {strings.Replace(debugger, "serviceAccountName", "serviceAccount", 1), "2027-01-01T00:00:00Z", "a exempt"},
		"cover nobody else":                          {pod("a", "  hostPID: true\n"), "2027-01-01T00:00:00Z", "a denied"},
		"end in time":                                {debugger, "2027-03-31T00:00:00Z", "a denied"},
		"end whenever the manifest says it was made": {strings.Replace(debugger, "{name: a}", "{name: a, creationTimestamp: \"2020-01-01T00:00:00Z\"}", 1), "2028-01-01T00:00:00Z", "a denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, o := judge(t, c.in, policy, "--now", c.now)
			if got := j.verdicts(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(name, "end") {
				wantContains(t, "the message", o.out, "exemption debuggers expired at 2027-03-31T00:00:00Z")
			}
		})
	}
}

func TestEveryContainerOfATemplateIsJudged(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(denyHostPID, "  admission", "  portals: {privileged: Forbid}\n  admission", 1)
	j, _ := judge(t, `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: a}
spec:
  template:
    spec:
      shareProcessNamespace: true
      initContainers: [{name: i, securityContext: {privileged: true}}]
      containers: [{name: c}, {name: d, securityContext: {privileged: true}}]
`, policy)
	const want = "spec.template.spec.shareProcessNamespace " +
		"spec.template.spec.initContainers[0].securityContext.privileged spec.template.spec.containers[1].securityContext.privileged"
	if got := j.fields(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
