// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
)

func TestTheSamplesAreValid(t *testing.T) {
	loaded := policies.Load(&manifest.Reader{}, []string{"../../../config/samples"})
	for _, p := range loaded.Problems {
		t.Error(p)
	}
	files, err := filepath.Glob("../../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Policies) < len(files) {
		t.Errorf("%d policies in %d files", len(loaded.Policies), len(files))
	}
}

func TestLoadsPoliciesInOrder(t *testing.T) {
	const first, second = "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: first}\nspec: {isolation: {pid: Pod}, admission: {action: Audit}}\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: second}\nspec: {isolation: {ipc: Pod}, admission: {action: Warn}}\n"
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": first, "b.yaml": second} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded := policies.Load(&manifest.Reader{}, []string{dir})
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	var got []string
	for _, p := range loaded.Policies {
		got = append(got, p.Name+" "+string(p.Action))
	}
	if s := strings.Join(got, ", "); s != "first "+string(v1alpha1.Audit)+", second "+string(v1alpha1.Warn) {
		t.Errorf("got %s", s)
	}
	if s := strings.Join(loaded.Notes, "\n"); !strings.Contains(s, "b.yaml") || !strings.Contains(s, "ConfigMap") {
		t.Errorf("the notes do not say what was left out: %q", s)
	}
}
