// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// FuzzRead reads any text: whatever it is, nothing panics, what comes out are whole JSON objects
// that say what they are, and problems are one printable line each.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "---\n", "# c\n---\n--- # d\n...\n", "\xef\xbb\xbfa: b\r\n---\r\n", "{}{}", "[1]", "a: &a [*a]\n",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}]}\n",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: PodList, items: [{spec: {}}]}\n",
		`{"apiVersion":"v1","kind":"Pod"}{"apiVersion":"v1","kind":"Pod","kind":"Service"}`,
		"a: &a {b: c}\nd: {<<: *a, b: e}\n? [x]\n: y\n", "kind: {{ .Values.kind }}\n", "%YAML 1.1\n---\na: b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := Reader{In: bytes.NewReader(text)}
		in := r.Read([]string{Stdin})
		for i := range in.Objects {
			o := &in.Objects[i]
			var object map[string]any
			if err := json.Unmarshal(o.JSON, &object); err != nil {
				t.Errorf("%v: is no object: %v", o.Place, err)
			}
			if o.GVK.Kind == "" || o.Place.Document < 1 || o.Place.Line < 1 {
				t.Errorf("%v: kind %q", o.Place, o.GVK.Kind)
			}
			// The error is of no interest, only that there is no panic.
			_ = o.Decode(&corev1.Pod{})
		}
		for _, p := range in.Problems {
			for _, c := range p.Error() {
				if c < ' ' || c > '~' {
					t.Errorf("%q holds %U", p.Error(), c)
				}
			}
		}
	})
}
