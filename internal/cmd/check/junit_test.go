// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"encoding/xml"
	"path/filepath"
	"strings"
	"testing"
)

// junitXML is what the tests read of JUnit.
type junitXML struct {
	XMLName                  xml.Name `xml:"testsuites"`
	Tests, Failures, Skipped int      `xml:",attr"`
	Suites                   []struct {
		Name  string `xml:"name,attr"`
		Tests int    `xml:"tests,attr"`
		Cases []struct {
			Name    string `xml:"name,attr"`
			Class   string `xml:"classname,attr"`
			File    string `xml:"file,attr"`
			Line    int    `xml:"line,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
			Skipped *struct {
				Message string `xml:"message,attr"`
			} `xml:"skipped"`
			Out string `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func junitOf(t *testing.T, stdin string, args ...string) (junitXML, outcome) {
	t.Helper()
	o := run(t, stdin, append(args, "-o", "junit")...)
	var x junitXML
	d := xml.NewDecoder(strings.NewReader(strings.NewReplacer("tests=", "Tests=", "failures=", "Failures=", "skipped=", "Skipped=").Replace(o.out)))
	if err := d.Decode(&x); err != nil {
		t.Fatalf("no XML: %v\n%s\n%s", err, o.out, o.errOut)
	}
	return x, o
}

func TestJUnitHasACasePerObjectAndPolicy(t *testing.T) {
	t.Parallel()
	const first = "  hostPID: true\n  hostNetwork: true\n"
	dir := folder(t, map[string]string{
		"a.yaml": pod("a", first) + "---\n" + strings.Replace(pod("b", "  hostPID: true\n"), "name: b", "name: b, namespace: debug", 1),
		"b.yaml": pod("c", ""),
	})
	for limit, failures := range map[string]int{"deny": 1, "warn": 2} {
		x, o := junitOf(t, "", "-f", dir, "--policy", file(t, "p.yaml", levels), "--fail-on", limit)
		if o.code != 1 || x.Tests != 9 || x.Failures != failures || x.Skipped != 1 {
			t.Fatalf("--fail-on %s: exit code %d\n%s", limit, o.code, o.out)
		}
		if len(x.Suites) != 2 || x.Suites[0].Name != filepath.Join(dir, "a.yaml") || len(x.Suites[0].Cases) != 6 {
			t.Fatalf("suites %+v", x.Suites)
		}
		cases := x.Suites[0].Cases
		denied, warned, exempt, passed := cases[0], cases[1], cases[3], cases[2]
		if denied.Name != "Pod default/a under policy deny" || denied.Class != "Pod.default.a" || denied.Line != 6 || denied.Failure == nil {
			t.Errorf("denied %+v", denied)
		} else {
			wantContains(t, "the failure", denied.Failure.Text, "denied at "+filepath.Join(dir, "a.yaml")+":6: pid: spec.hostPID is true")
		}
		if fails := limit == "warn"; (warned.Failure != nil) != fails || (warned.Out == "") != fails || warned.Line != 7 {
			t.Errorf("warned %+v", warned)
		}
		if exempt.Skipped == nil || exempt.Skipped.Message != `exempt by "debuggers": they debug` {
			t.Errorf("exempt %+v", exempt)
		}
		if passed.Failure != nil || passed.Skipped != nil {
			t.Errorf("passed %+v", passed)
		}
	}
}

func TestJUnitDoesNotPassWhatNoPolicyMatches(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(denyHostPID, "spec:", "spec:\n  match: {podSelector: {matchLabels: {a: b}}}", 1)
	x, _ := junitOf(t, pod("a", ""), "-f", "-", "--policy", file(t, "p.yaml", policy))
	if x.Tests != 1 || x.Skipped != 1 || x.Suites[0].Cases[0].Skipped.Message != "no policy matches it" {
		t.Errorf("%+v", x)
	}
}

func TestJUnitIsWellFormedWhateverTheNames(t *testing.T) {
	t.Parallel()
	const name = `"]]><x a='b'>&\0\uFFFE\e"`
	x, _ := junitOf(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: "+name+", namespace: "+name+"}\nspec: {hostPID: true, containers: [{name: c}]}\n",
		"-f", "-", "--policy", file(t, "p.yaml", denyHostPID))
	if got, want := x.Suites[0].Cases[0].Name, `]]><x a='b'>&\x00\ufffe\x1b`; !strings.Contains(got, want) {
		t.Errorf("the name %q does not hold %q", got, want)
	}
}
