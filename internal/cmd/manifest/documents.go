// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	goyaml3 "go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// document is one YAML or JSON document as JSON.
type document struct {
	place Place
	json  []byte
}

var (
	byteOrderMark = []byte("\xef\xbb\xbf")
	utf16Marks    = [][]byte{{0xfe, 0xff}, {0xff, 0xfe}}
)

// split takes a file apart. Documents that hold nothing are counted and left out.
func split(name string, text []byte) (documents []document, problems []error) {
	for _, mark := range utf16Marks {
		if bytes.HasPrefix(text, mark) {
			return nil, Problems(Place{File: name}, errors.New("is UTF-16: save it as UTF-8"))
		}
	}
	text = bytes.TrimPrefix(text, byteOrderMark)
	number := 0
	for _, c := range chunks(text) {
		number++
		place := Place{File: name, Document: number, Line: c.line}
		if c.err != nil {
			problems = append(problems, Problems(place, c.err)...)
			continue
		}
		values, err := c.values()
		if err != nil {
			problems = append(problems, Problems(place, err)...)
			continue
		}
		for i, v := range values {
			if i > 0 {
				number++
			}
			place.Document = number
			documents = append(documents, document{place, v})
		}
	}
	return documents, problems
}

// chunk is the text between two separators.
type chunk struct {
	line int // of its first line, from 1
	text []byte
	err  error
}

// chunks splits at lines that begin with "---", as kubectl does (YAMLReader of
// k8s.io/apimachinery/pkg/util/yaml, which tells no lines): only a comment may follow a separator.
// What stands before the first separator is no document if it is blank.
func chunks(text []byte) []chunk {
	var all []chunk
	current, line := chunk{line: 1}, 0
	begun := false // a separator was seen
	for rest := text; len(rest) > 0; {
		var row []byte
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			row, rest = rest[:end+1], rest[end+1:]
		} else {
			row, rest = rest, nil
		}
		line++
		after, found := bytes.CutPrefix(row, []byte("---"))
		if !found {
			current.text = append(current.text, row...)
			continue
		}
		if begun || !blank(current.text) {
			all = append(all, current)
		}
		begun = true
		current = chunk{line: line + 1}
		if after = bytes.TrimSpace(after); len(after) > 0 && after[0] != '#' {
			current.err = fmt.Errorf("the line %q: begin the document on the line after ---", bytes.TrimSpace(row))
		}
	}
	if begun || !blank(current.text) {
		all = append(all, current)
	}
	return all
}

// blank tells whether there are only blank lines and comments.
func blank(text []byte) bool {
	for row := range bytes.SplitSeq(text, []byte("\n")) {
		if row = bytes.TrimSpace(row); len(row) > 0 && row[0] != '#' {
			return false
		}
	}
	return true
}

// values are the documents of a chunk as JSON: one of YAML, any number of JSON, none if it holds
// nothing.
func (c *chunk) values() ([][]byte, error) {
	if blank(c.text) {
		return nil, nil
	}
	trimmed := bytes.TrimSpace(c.text)
	if trimmed[0] == '{' {
		// Else it may be YAML in flow style.
		if values, err := jsonValues(trimmed); err == nil {
			return values, strictJSON(values)
		}
	}
	if err := single(c.text); err != nil {
		return nil, c.explain(err)
	}
	// As kubectl does, to the letter: what "yes" means, and which value of a merge wins.
	value, err := yaml.YAMLToJSON(c.text)
	if err != nil {
		return nil, c.explain(err)
	}
	if err := c.twice(); err != nil {
		return nil, err
	}
	if bytes.Equal(value, []byte("null")) {
		return nil, nil
	}
	return [][]byte{value}, nil
}

func jsonValues(text []byte) ([][]byte, error) {
	var values [][]byte
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var v json.RawMessage
		switch err := d.Decode(&v); {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			return nil, err
		}
		values = append(values, v)
	}
}

// strictJSON refuses keys that are there twice, which decoders take for the last of them.
func strictJSON(values [][]byte) error {
	var errs []error
	for _, v := range values {
		var any map[string]any
		strict, err := kjson.UnmarshalStrict(v, &any)
		errs = append(append(errs, strict...), err)
	}
	return errors.Join(errs...)
}

// single refuses a chunk with a second document, which decoders would not read: "..." and line
// breaks of which only YAML knows can begin one where there is no separator.
func single(text []byte) error {
	if !bytes.Contains(text, []byte("...")) && !bytes.Contains(text, []byte("---")) {
		return nil
	}
	d := goyaml.NewDecoder(bytes.NewReader(text))
	var any any
	if err := d.Decode(&any); err != nil {
		return err
	}
	if err := d.Decode(&any); errors.Is(err, io.EOF) {
		return nil
	}
	return errors.New("a second document begins without a line ---: put one before it")
}

// twice refuses keys that are there twice, of which decoders take one. The strict mode of the
// parser that kubectl uses would do, but for its refusing keys that override those of a merge.
func (c *chunk) twice() error {
	var root goyaml3.Node
	if err := goyaml3.Unmarshal(c.text, &root); err != nil {
		// This parser is more particular. Better refuse a merge than overlook a key.
		if _, err := yaml.YAMLToJSONStrict(c.text); err != nil {
			return c.explain(err)
		}
		return nil
	}
	return errors.Join(c.twiceIn(&root, nil)...)
}

func (c *chunk) twiceIn(n *goyaml3.Node, errs []error) []error {
	if n.Kind == goyaml3.MappingNode {
		first := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != goyaml3.ScalarNode || key.Tag == "!!merge" {
				continue
			}
			if line, known := first[key.Value]; known {
				errs = append(errs, fmt.Errorf("key %q is there twice: in line %d and in line %d",
					key.Value, c.line-1+line, c.line-1+key.Line))
			}
			first[key.Value] = key.Line
		}
	}
	for _, child := range n.Content {
		errs = c.twiceIn(child, errs)
	}
	return errs
}

// explain words what the parser said: with line numbers that count from the start of the file,
// and with what is probably meant.
func (c *chunk) explain(err error) error {
	padded := append(bytes.Repeat([]byte("\n"), c.line-1), c.text...)
	if _, absolute := yaml.YAMLToJSON(padded); absolute != nil {
		err = absolute
	}
	// One sentence of the parser's several lines.
	text := strings.Join(strings.Fields(err.Error()), " ")
	if bytes.Contains(c.text, []byte("{{")) {
		text += " (it looks like a template: render it first, as in: helm template CHART | bulkhead check -f - --policy FILE)"
	}
	return errors.New(text)
}
