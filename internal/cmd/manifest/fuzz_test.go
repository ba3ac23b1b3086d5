// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
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
		r := &Reader{In: bytes.NewReader(text)}
		lines := 1 + bytes.Count(text, []byte("\n"))
		in := Read(r, Arguments{Files: []string{Stdin}}, func(o *Object) (*int, error) {
			var object map[string]any
			if err := json.Unmarshal(o.JSON, &object); err != nil {
				t.Errorf("%v: is no object: %v", o.Place, err)
			}
			line := new(int)
			o.Locate("spec.containers[0].securityContext.privileged", line)
			// The error is of no interest, only that there is no panic.
			_ = o.Decode(&corev1.Pod{})
			return line, nil
		})
		for i := range in.Found {
			o := &in.Found[i]
			if o.GVK.Kind == "" || o.Place.Document < 1 || o.Place.Line < 1 {
				t.Errorf("%v: kind %q", o.Place, o.GVK.Kind)
			}
			// YAML knows line ends that others do not, so there may be more.
			if *o.Value < o.Place.Line || isASCII(text) && *o.Value > lines {
				t.Errorf("%v: line %d of %d", o.Place, *o.Value, lines)
			}
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

func isASCII(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool { return r > '~' || r == '\r' || r == 0 }) < 0
}

// FuzzConvert holds what is made of YAML against what kubectl's library makes of it.
func FuzzConvert(f *testing.F) {
	for _, seed := range []string{
		"a: yes\nb: 0777\nc: 0o17\nd: 1_000\ne: 1e3\nf: .inf\n", "1: a\ntrue: b\n1.5: c\n-.inf: d\n.nan: e\n1e300: f\n", "~: a\n",
		"a: 2001-01-01\nb: !!timestamp 2001-01-01\nc: !!binary aGk=\nd: !!str 1\ne: !!float 1\n", "a: 18446744073709551615\nb: -9223372036854775808\n",
		"a: &x {b: c}\nd: {<<: *x, e: f}\n", "a: \"\\xff\\u2028<>&\\0\"\n'\"': |\n  x\n  y\n", "- [a, [b, {c: ~}]]\n- ''\n", "1: a\n0x1: b\n", "1: a\n\"1\": b\n",
		"a: 1\na: 2\n", "? {a: b}\n: c\n", "a: 1.0\nb: 1e21\nc: 123456789012345678901234567890\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _, err := strictJSONOf(text)
		theirs, refused := yaml.YAMLToJSONStrict(text)
		if err != nil {
			if refused == nil && !errors.Is(err, errMore) && !strings.Contains(err.Error(), "twice") {
				t.Fatalf("refused: %v\nkubectl reads %s", err, theirs)
			}
			return
		}
		if refused != nil {
			t.Fatalf("kubectl refuses: %v\ngot %s", refused, got)
		}
		var ours, want any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(got, &ours); err != nil {
			t.Fatalf("no JSON: %v\n%s", err, got)
		}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(theirs, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ours, want) {
			t.Errorf("got  %s\nwant %s", got, theirs)
		}
	})
}
