// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	goyaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// chunk is the text between two separators.
type chunk struct {
	line int // of its first line, from 1
	text []byte
	err  error
}

// document is one document of a chunk.
type document struct {
	line   int    // of its first line, from 1
	text   []byte // as it stands in the file
	isJSON bool
	json   []byte
	meta   *typeMeta // of the object, if it is known already
	wishes []wish
}

// chunks splits at lines that begin with "---", as kubectl does (YAMLReader of
// k8s.io/apimachinery/pkg/util/yaml, which tells no lines): only a comment may follow a separator.
// What stands before the first separator is no document if it is blank.
func chunks(text []byte) []chunk {
	var all []chunk
	current, line := chunk{line: 1}, 0
	begun := false // a separator was seen
	start := 0     // of current, in text
	end := func(at int) {
		current.text = text[start:at]
		if begun || !blank(current.text) {
			all = append(all, current)
		}
	}
	for at := 0; at < len(text); {
		row := text[at:]
		if n := bytes.IndexByte(row, '\n'); n >= 0 {
			row = row[:n+1]
		}
		line++
		if after, found := bytes.CutPrefix(row, []byte("---")); found {
			end(at)
			begun, start = true, at+len(row)
			current = chunk{line: line + 1}
			if after = bytes.TrimSpace(after); len(after) > 0 && after[0] != '#' {
				current.err = fmt.Errorf("the line %q: begin the document on the line after ---", bytes.TrimSpace(row))
			}
		}
		at += len(row)
	}
	end(len(text))
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

// documents of a chunk: one of YAML, any number of JSON, none if it holds nothing.
func (c *chunk) documents() ([]*document, error) {
	if c.err != nil || blank(c.text) {
		return nil, c.err
	}
	if bytes.TrimSpace(c.text)[0] == '{' {
		// Else it may be YAML in flow style.
		if documents, err := c.jsonDocuments(); err == nil {
			return documents, nil
		}
	}
	value, meta, err := c.convert()
	if err != nil || bytes.Equal(value, []byte("null")) {
		return nil, err
	}
	return []*document{{line: c.line, text: c.text, json: value, meta: meta}}, nil
}

// jsonDocuments are the values of JSON in a row; an error if it is no JSON.
func (c *chunk) jsonDocuments() ([]*document, error) {
	var all []*document
	line, counted := c.line, 0
	add := func(start, end int) {
		line += bytes.Count(c.text[counted:start], []byte("\n"))
		counted = start
		value := c.text[start:end]
		all = append(all, &document{line: line, text: value, isJSON: true, json: value})
	}
	// A long list is one value, which the decoder would copy twice.
	if one := bytes.TrimSpace(c.text); json.Valid(one) {
		start := bytes.IndexByte(c.text, one[0])
		add(start, start+len(one))
		return all, nil
	}
	d := json.NewDecoder(bytes.NewReader(c.text))
	for {
		var v json.RawMessage
		switch err := d.Decode(&v); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		end := int(d.InputOffset())
		add(end-len(v), end)
	}
}

// convert makes JSON of a chunk of YAML as kubectl does: what "yes" means, and which value of a merge
// wins. A key that is there twice, of which kubectl takes one, is an error. The first pass finds
// such keys on the way; what it refuses is looked at more closely.
func (c *chunk) convert() ([]byte, *typeMeta, error) {
	value, meta, strict := strictJSONOf(c.text)
	if strict == nil {
		return value, meta, nil
	}
	if errors.Is(strict, errMore) {
		return nil, nil, strict
	}
	value, err := yaml.YAMLToJSON(c.text)
	if err != nil {
		return nil, nil, c.explain(err)
	}
	return value, nil, c.twice(strict)
}

// twice says which keys are there twice. The strict parser has refused the document: for that, or
// for a merge.
func (c *chunk) twice(strict error) error {
	var root goyaml3.Node
	if err := goyaml3.Unmarshal(c.text, &root); err != nil || !merges(&root) {
		if errs := c.twiceIn(&root, nil); len(errs) > 0 {
			return errors.Join(errs...)
		}
		// This parser is more particular. Better refuse a merge than overlook a key.
		return c.explain(strict)
	}
	return errors.Join(c.twiceIn(&root, nil)...)
}

// merges tells whether there is a merge somewhere below.
func merges(n *goyaml3.Node) bool {
	return n.Tag == mergeTag || slices.ContainsFunc(n.Content, merges)
}

func (c *chunk) twiceIn(n *goyaml3.Node, errs []error) []error {
	if n.Kind == goyaml3.MappingNode {
		first := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != goyaml3.ScalarNode || key.Tag == mergeTag {
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
	if _, _, absolute := strictJSONOf(padded); absolute != nil {
		err = absolute
	}
	// One sentence of the parser's several lines.
	text := strings.Join(strings.Fields(err.Error()), " ")
	if bytes.Contains(c.text, []byte("{{")) {
		text += " (it looks like a template: render it first, as in: helm template CHART)"
	}
	return errors.New(text)
}
