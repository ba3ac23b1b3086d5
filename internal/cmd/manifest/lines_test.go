// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	goyaml3 "go.yaml.in/yaml/v3"
)

// linesOf reads a text and tells the lines of the fields, in every object: the file's line, or
// those of the first problem.
func linesOf(t *testing.T, text string, fields ...string) string {
	t.Helper()
	in := Read(&Reader{In: strings.NewReader(text)}, Arguments{Files: []string{Stdin}}, func(o *Object) ([]int, error) {
		lines := make([]int, len(fields))
		for i, field := range fields {
			o.Locate(field, &lines[i])
		}
		return lines, nil
	})
	for _, p := range in.Problems {
		t.Fatal(p)
	}
	var all []string
	for _, found := range in.Found {
		all = append(all, strings.Trim(fmt.Sprint(found.Value), "[]"))
	}
	return strings.Join(all, ", ")
}

func TestLocatesFields(t *testing.T) {
	const head = "apiVersion: v1\nkind: Pod\n"
	for name, c := range map[string]struct{ text, fields, want string }{
		"a key":                              {head + "spec:\n  a: b\n  hostPID: true\n", "spec.hostPID", "5"},
		"a key of the second document":       {head + "---\n# c\n" + head + "spec:\n  hostPID: true\n", "spec.hostPID", "1, 8"},
		"what is not there":                  {head + "spec:\n  a: b\n", "spec.hostUsers spec.a.b.c metadata.name", "3 4 1"},
		"an item of a list":                  {head + "spec:\n  add:\n  - A\n  - B\n", "spec.add[0] spec.add[1] spec.add[2]", "5 6 4"},
		"a list that is indented":            {head + "spec:\n  add:\n    - A\n    - B\n  b: c\n", "spec.add[1] spec.b", "6 7"},
		"a key of an item":                   {head + "spec:\n  c:\n  - name: a\n    p: 1\n  - name: b\n    p:\n      q: 2\n", "spec.c[0].p spec.c[1].name spec.c[1].p.q", "6 7 9"},
		"an item that begins further down":   {head + "spec:\n  c:\n  -\n    name: a\n", "spec.c[0].name", "6"},
		"a list in a list":                   {head + "spec:\n- - a\n  - b\n- c\n", "spec[0][1] spec[1]", "5 6"},
		"a value in flow style":              {head + "spec: {hostPID: true, c: [{d: e}]}\n", "spec.hostPID spec.c[0].d", "3 3"},
		"a flow of several lines":            {head + "spec: {a: b,\n  hostPID: true,\n  c: [x,\n    y]}\n", "spec.hostPID spec.c[1]", "4 6"},
		"beside a block of text":             {head + "spec:\n  a: |\n    hostPID: true\n\n    b: c\n  # x\n  hostPID: true\n", "spec.hostPID", "9"},
		"beside a quote of several lines":    {head + "spec:\n  a: \"x\n  hostPID: false\n  y\"\n  hostPID: true\n", "spec.hostPID", "7"},
		"beside a text of several lines":     {head + "spec:\n  a: x\n    - hostPID\n    y\n  hostPID: true\n", "spec.a[0] spec.hostPID", "4 7"},
		"quoted keys":                        {head + "\"spec\":\n  'hostPID': true\n", "spec.hostPID", "4"},
		"a merge, where it comes from":       {head + "x: &x\n  hostPID: true\nspec:\n  <<: *x\n  hostIPC: true\n", "spec.hostPID spec.hostIPC", "4 7"},
		"a merge that is overridden":         {head + "x: &x\n  hostPID: true\nspec:\n  <<: [*x]\n  hostPID: false\n", "spec.hostPID", "7"},
		"an alias":                           {head + "x: &x\n  hostPID: true\nspec: *x\n", "spec.hostPID", "4"},
		"Windows line ends":                  {"apiVersion: v1\r\nkind: Pod\r\nspec:\r\n  hostPID: true\r\n", "spec.hostPID", "4"},
		"items of lists":                     {"kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    a: b\n- apiVersion: v1\n  kind: Pod\n  spec:\n    a: b\n", "spec.a", "7, 11"},
		"JSON in one line":                   {`{"apiVersion":"v1","kind":"Pod","spec":{"a":[1,{"b":2}]}}`, "spec.a[1].b", "1"},
		"JSON in several":                    {"\n{\n\"apiVersion\":\"v1\",\n\"kind\":\"Pod\",\n\"spec\":\n{\"a\":[\n1,\n{\n\"b\":\n2}]}}", "spec spec.a[0] spec.a[1] spec.a[1].b spec.a[1].c", "5 7 8 9 8"},
		"JSON objects in a row":              {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"spec\":{}}", "spec", "1, 3"},
		"JSON that looks like JSON within":   {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"a\":\"\\\"spec\\\":{}\",\n\"b\":{\"spec\":1},\n\"spec\":{\"c\":1}}", "spec.c", "3"},
		"JSON lists":                         {"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\"},\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"spec\":{}}]}", "spec", "2, 4"},
		"JSON with tabs and odd characters":  {"{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"a\": \"\\ud83d\\ude00\\/\",\n\t\"spec\": {\n\t}\n}", "spec", "5"},
		"UTF-16":                             {"\xff\xfe" + wide(head+"spec:\n  hostPID: true\n"), "spec.hostPID", "4"},
		"a file that begins with a mark":     {"\xef\xbb\xbf" + head + "spec:\n  hostPID: true\n", "spec.hostPID", "4"},
		"keys with colons in their values":   {head + "spec:\n- a: http://b:80\n  c: 'x: y'\n", "spec[0].c", "5"},
		"keys of items with spaces in them":  {head + "spec:\n- a b:\n    c: d\n  e: f\n", "spec[0].c spec[0].e", "4 6"},
		"values that look like keys' values": {head + "spec:\n  a: '{'\n  b: \"[\\\"]\"\n  c: [\"]\", '}']\n  d: e\n", "spec.d", "7"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := linesOf(t, c.text, strings.Fields(c.fields)...); got != c.want {
				t.Errorf("lines %s, want %s of\n%s", got, c.want, c.text)
			}
		})
	}
}

// wide is ASCII text in UTF-16, the lower byte first.
func wide(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.Write([]byte{text[i], 0})
	}
	return b.String()
}

// FuzzOutline holds the lines that the outline tells against those of the parser.
func FuzzOutline(f *testing.F) {
	for _, seed := range []string{
		"a: b\nc:\n- d: e\n  f:\n  - g\n  - h: |\n     i: j\n    k\nl: {m: n}\n", "- - a\n  - b: c\n- d\n", "a:\n  b: 'c'' # d'  # e\n  f: \"g\\\"\" #h\n",
		"a: >-\n b\n\n c\nd: [e, {f: g}, \"]\"] # h\n", "a: b\n  c\nd: e\n", "a:\n- b\nc:\n  - d\n  -  e: f\n     g: h\n", "a: # b\n  c: d\n", "- |\n a: b\n- c:\n   d\n",
		"a: |2\n   b\n  c\nd: e\n", "a:\n\n# b\n c: d\n", "a: b: c\n", "- a b: c\n  d: e\n", "a: {b: c}\nd: &e f\n", "a: - b\n", "a: \"b\nc: d\"\n", "a:\n  - b: c\n\n    d: e\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, _, err := strictJSONOf(text); err != nil {
			t.Skip()
		}
		outline, ok := outlineOf(text)
		var root goyaml3.Node
		if err := goyaml3.Unmarshal(text, &root); !ok || err != nil || len(root.Content) != 1 {
			t.Skip()
		}
		ours, theirs := &branch{}, &branch{}
		for _, path := range pathsIn(root.Content[0], nil) {
			ours.add(path)
			theirs.add(path)
		}
		outline.find(ours)
		theirs.find(root.Content[0])
		for _, path := range pathsIn(root.Content[0], nil) {
			if o, want := ours.line(path), theirs.line(path); o != want {
				t.Errorf("%q is in line %d, and not in %d, of\n%s", path, want, o, text)
			}
		}
	})
}

// pathsIn are all paths below a value, and some that are not there.
func pathsIn(n *goyaml3.Node, path []string) [][]string {
	at := func(step string) []string { return append(append([]string(nil), path...), step) }
	all := [][]string{at("0"), at("a"), at("1")}
	for i, child := range n.Content {
		step := strconv.Itoa(i)
		if n.Kind == goyaml3.MappingNode {
			if i%2 == 0 {
				continue
			}
			step = n.Content[i-1].Value
		}
		all = append(all, pathsIn(child, at(step))...)
	}
	return all
}
