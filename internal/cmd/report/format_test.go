// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// People build on these formats: a difference here is one for them. UPDATE=1 writes the files anew.
func TestTheFormatsStayAsTheyAre(t *testing.T) {
	in, pods := inhabited(t)
	for _, c := range []struct {
		file, output string
		value        value
	}{
		{"overview.json", "json", built(t, in, pods)},
		{"userns.json", "json", readinessOf(t, in, pods)},
		{"userns.yaml", "yaml", readinessOf(t, in, pods[8:9])},
	} {
		t.Run(c.file, func(t *testing.T) {
			var got bytes.Buffer
			if err := (&options{output: c.output}).print(&got, c.value); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", c.file)
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// readinessOf is the readiness of these pods.
func readinessOf(t *testing.T, in *surroundings, pods []*corev1.Pod) *readiness {
	t.Helper()
	b := newReadinessBuilder(in)
	for _, pod := range pods {
		b.pod(pod)
	}
	return b.done()
}
