// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/check"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
)

// outcome is what a call of the command did.
type outcome struct {
	code        int
	out, errOut string
}

// run calls the command as the program does.
func run(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	c := check.Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&errOut)
	c.SetArgs(args)
	err := c.Execute()
	code := 0
	var exited *exit.Error
	switch {
	case errors.As(err, &exited):
		code = exited.Code
	case err != nil:
		code = 2
	}
	if err != nil {
		errOut.WriteString(err.Error())
	}
	return outcome{code, out.String(), errOut.String()}
}

// folder writes files and returns where they are.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// file writes one file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	return filepath.Join(folder(t, map[string]string{name: text}), name)
}

// judged is the JSON of a call.
type judged struct {
	Results []struct {
		Kind, Namespace, Name, Verdict, File string
		Document, Line                       int
		Violations                           []found
		Exempted                             []struct {
			found
			Exemptions []struct{ Name, Reason string }
		}
	}
}

// found is a violation in JSON.
type found struct {
	Policy, Verdict, Axis, Portal, Field, Value, Message, File string
	Document, Line                                             int
	NamespaceUnknown                                           bool
}

// judge calls the command on one text by one policy and reads its JSON.
func judge(t *testing.T, manifests, policy string, args ...string) (judged, outcome) {
	t.Helper()
	o := run(t, manifests, append([]string{"-f", "-", "--policy", file(t, "policy.yaml", policy), "-o", "json"}, args...)...)
	var j judged
	d := json.NewDecoder(strings.NewReader(o.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		t.Fatalf("standard output is no such JSON: %v\n%s\n%s", err, o.out, o.errOut)
	}
	return j, o
}

// verdicts are "name verdict" of every result.
func (j judged) verdicts() string {
	var all []string
	for _, r := range j.Results {
		all = append(all, r.Name+" "+r.Verdict)
	}
	return strings.Join(all, ", ")
}

// fields are the fields that were found, each once per policy.
func (j judged) fields() string {
	var all []string
	for _, r := range j.Results {
		for _, v := range r.Violations {
			all = append(all, v.Field)
		}
	}
	return strings.Join(all, " ")
}

// lines are "field file:line" of every violation.
func (j judged) lines() []string {
	var all []string
	for _, r := range j.Results {
		for _, v := range r.Violations {
			all = append(all, v.Field+" "+v.File+":"+strconv.Itoa(v.Line))
		}
	}
	return all
}

func wantContains(t *testing.T, where, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", where, w, text)
		}
	}
}

const denyHostPID = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: tenants}
spec:
  isolation: {pid: Container}
  admission: {action: Deny}
`

// pod is a manifest of a pod with more lines of spec.
func pod(name, spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec:\n  containers: [{name: c, image: i}]\n" + spec
}
