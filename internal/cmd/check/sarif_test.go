// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// sarifLog is what the tests read of SARIF.
type sarifLog struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Name, Version string
				Rules         []struct {
					ID                              string
					ShortDescription, Help          struct{ Text string }
					DefaultConfiguration            struct{ Level string }
					Properties                      struct{ Tags []string }
					FullDescription, NotInTheSchema struct{ Text string }
				}
			}
		}
		Results []struct {
			RuleID, Level string
			RuleIndex     int
			Message       struct{ Text string }
			Locations     []struct {
				PhysicalLocation struct {
					ArtifactLocation struct{ URI string }
					Region           *struct{ StartLine int }
				}
			}
			PartialFingerprints map[string]string
			Suppressions        []struct{ Kind, Justification string }
		}
	}
}

// sarifOf calls the command and validates its SARIF against the schema of SARIF 2.1.0.
func sarifOf(t *testing.T, stdin string, args ...string) sarifLog {
	t.Helper()
	o := run(t, stdin, append(args, "-o", "sarif")...)
	if o.code == 2 {
		t.Fatal(o.errOut)
	}
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(o.out))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Fatalf("no SARIF: %v\n%s", err, o.out)
	}
	var log sarifLog
	if err := json.Unmarshal([]byte(o.out), &log); err != nil {
		t.Fatal(err)
	}
	return log
}

func TestSARIFTellsEveryVerdict(t *testing.T) {
	t.Parallel()
	in := pod("a", "  hostPID: true\n  hostNetwork: true\n  hostIPC: true\n") + "---\n" +
		strings.Replace(pod("b", "  hostPID: true\n"), "name: b", "name: b, namespace: debug", 1) + "---\n" + pod("c", "")
	log := sarifOf(t, "", "-f", file(t, "in.yaml", in), "--policy", file(t, "p.yaml", levels))
	driver, results := log.Runs[0].Tool.Driver, log.Runs[0].Results
	if driver.Name != "Bulkhead" || driver.Version == "" {
		t.Errorf("the tool is %q of version %q", driver.Name, driver.Version)
	}
	want := []struct {
		rule, level string
		line        int
		suppressed  string
	}{
		{"isolation/pid", "error", 6, ""}, {"isolation/network", "warning", 7, ""}, {"isolation/ipc", "note", 8, ""},
		{"isolation/pid", "note", 15, "exemption debuggers of policy deny: they debug"},
	}
	if len(results) != len(want) {
		t.Fatalf("%d results, want %d", len(results), len(want))
	}
	for i, r := range results {
		at := r.Locations[0].PhysicalLocation
		suppressed := ""
		for _, s := range r.Suppressions {
			suppressed += s.Justification
			if s.Kind != "external" {
				t.Errorf("suppressed %s", s.Kind)
			}
		}
		if w := want[i]; r.RuleID != w.rule || driver.Rules[r.RuleIndex].ID != w.rule || r.Level != w.level ||
			at.Region.StartLine != w.line || suppressed != w.suppressed {
			t.Errorf("got %+v in line %d, want %+v", r, at.Region.StartLine, w)
		}
		if !strings.HasPrefix(at.ArtifactLocation.URI, "file:///") || !strings.HasSuffix(at.ArtifactLocation.URI, "/in.yaml") {
			t.Errorf("a file elsewhere is %s", at.ArtifactLocation.URI)
		}
	}
}

// The working folder cannot change beside parallel tests: it is that of the package.
func TestSARIFNamesFilesRelatively(t *testing.T) {
	t.Parallel()
	policy := file(t, "p.yaml", denyHostPID)
	dir := folder(t, map[string]string{"kustomization.yml": "resources: [pod.yaml]\n", "pod.yaml": pod("a", "  hostPID: true\n"), "a b#%.yaml": pod("a", "  hostPID: true\n")})
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Rel(here, dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a file as it was given":               {[]string{"-f", "./testdata/../testdata/pod.yaml"}, "testdata/pod.yaml"},
		"a file below that was given absolute": {[]string{"-f", filepath.Join(here, "testdata", "pod.yaml")}, "testdata/pod.yaml"},
		"what is no part of a URI":             {[]string{"-f", filepath.Join(below, "a b#%.yaml")}, filepath.ToSlash(below) + "/a%20b%23%25.yaml"},
		"a kustomization by its file":          {[]string{"-k", below}, filepath.ToSlash(below) + "/kustomization.yml"},
		"standard input":                       {[]string{"-f", "-"}, "stdin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results := sarifOf(t, pod("a", "  hostPID: true\n"), append(c.args, "--policy", policy)...).Runs[0].Results
			at := results[0].Locations[0].PhysicalLocation
			if at.ArtifactLocation.URI != c.want {
				t.Errorf("got %s, want %s", at.ArtifactLocation.URI, c.want)
			}
			if built := c.args[0] == "-k"; (at.Region == nil) != built {
				t.Errorf("the region is %v", at.Region)
			}
		})
	}
}

func TestSARIFFingerprintsOutliveEdits(t *testing.T) {
	t.Parallel()
	policy := file(t, "p.yaml", denyHostPID)
	fingerprints := func(in string) (all []string) {
		for _, r := range sarifOf(t, in, "-f", "-", "--policy", policy).Runs[0].Results {
			for _, f := range r.PartialFingerprints {
				all = append(all, f)
			}
		}
		return all
	}
	a := pod("a", "  hostPID: true\n")
	before := fingerprints(a)
	after := fingerprints("# moved\n\n" + pod("b", "  hostPID: true\n") + "---\n" + a + "---\n" + a)
	if len(before) != 1 || len(after) != 3 {
		t.Fatalf("%q, %q", before, after)
	}
	if after[1] != before[0] {
		t.Errorf("a pod that moved was %q and is %q", before[0], after[1])
	}
	if after[0] == before[0] || after[2] == before[0] {
		t.Errorf("two have one fingerprint: %q", after)
	}
}

func TestSARIFHasARuleForEverythingThatPoliciesDemand(t *testing.T) {
	t.Parallel()
	rules := make(map[string]bool)
	for _, r := range sarifOf(t, pod("a", ""), "-f", "-", "--policy", file(t, "p.yaml", denyHostPID)).Runs[0].Tool.Driver.Rules {
		rules[r.ID] = true
		if r.ShortDescription.Text == "" || r.Help.Text == "" || r.DefaultConfiguration.Level != "error" {
			t.Errorf("rule %+v", r)
		}
	}
	for prefix, kind := range map[string]reflect.Type{
		"isolation/": reflect.TypeFor[v1alpha1.Isolation](), "portal/": reflect.TypeFor[v1alpha1.Portals](),
	} {
		for i := range kind.NumField() {
			name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			if !rules[prefix+name] {
				t.Errorf("no rule %s%s", prefix, name)
			}
		}
	}
}
