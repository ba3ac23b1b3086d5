// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	goyaml3 "go.yaml.in/yaml/v3"
)

// mergeTag is the tag of the key "<<".
const mergeTag = "!!merge"

// maxMerges bounds how deep merges in merges are followed.
const maxMerges = 16

// wish is a field whose line is asked for.
type wish struct {
	path []string // keys, and positions in lists as numbers
	line *int
}

// Locate asks for the line of a field of the object, such as spec.containers[0].ports[1].hostPort.
// When the input has been read the line stands in *line, counted from 1 in the file: that of the
// field, or that of the nearest one above it that is there.
//
// The text is read again for that, once a document, so ask only for what is shown.
func (o *Object) Locate(field string, line *int) {
	*line = o.document.line
	var path []string
	for _, item := range o.Place.Items {
		path = append(path, "items", strconv.Itoa(item-1))
	}
	path = append(path, steps(field)...)
	o.document.wishes = append(o.document.wishes, wish{path, line})
}

// steps takes a field's path apart: spec.volumes[2].name is spec, volumes, 2, name.
func steps(field string) []string {
	return strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// locate fulfils the wishes.
func (d *document) locate() {
	if len(d.wishes) == 0 {
		return
	}
	asked := &branch{}
	for _, w := range d.wishes {
		asked.add(w.path)
	}
	if d.isJSON {
		j := &jsonLines{text: d.text, decoder: json.NewDecoder(bytes.NewReader(d.text)), line: 1}
		j.value(asked)
	} else if simple, ok := outlineOf(d.text); ok {
		simple.find(asked)
	} else {
		asked.findInText(d.text)
	}
	for _, w := range d.wishes {
		*w.line = d.line - 1 + asked.line(w.path)
	}
	d.wishes = nil
}

// branch is a part of the tree of the fields that are asked for.
type branch struct {
	at    int // its line in the document, from 1; 0: not found
	below map[string]*branch
}

func (b *branch) add(path []string) {
	for _, step := range path {
		next := b.below[step]
		if next == nil {
			if b.below == nil {
				b.below = make(map[string]*branch)
			}
			next = &branch{}
			b.below[step] = next
		}
		b = next
	}
}

// line is that of the field, or of the nearest one above it that was found.
func (b *branch) line(path []string) int {
	line := 1
	for _, step := range path {
		if b = b.below[step]; b.at == 0 {
			break
		}
		line = b.at
	}
	return line
}

// found notes the line of a step; false if nobody asked for it, or it was found before.
func (b *branch) found(step string, line int) *branch {
	next := b.below[step]
	if next == nil || next.at != 0 {
		return nil
	}
	next.at = line
	return next
}

// findInText looks for everything below b in any document of YAML. Of one that this parser does not
// take, though kubectl's does, nothing is found.
func (b *branch) findInText(text []byte) {
	var root goyaml3.Node
	if err := goyaml3.Unmarshal(text, &root); err == nil && len(root.Content) == 1 {
		b.find(root.Content[0])
	}
}

// find looks for everything below b in a value of YAML.
func (b *branch) find(n *goyaml3.Node) {
	if n.Kind == goyaml3.AliasNode {
		n = n.Alias
	}
	if len(b.below) == 0 || n == nil {
		return
	}
	switch n.Kind {
	case goyaml3.MappingNode:
		b.findIn(n, 0)
	case goyaml3.SequenceNode:
		for i, item := range n.Content {
			if next := b.found(strconv.Itoa(i), item.Line); next != nil {
				next.find(item)
			}
		}
	}
}

// findIn looks in a mapping, and then in what it merges, whose keys it overrides.
func (b *branch) findIn(n *goyaml3.Node, merges int) {
	var merged []*goyaml3.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == mergeTag {
			merged = append(merged, value)
		} else if next := b.found(key.Value, key.Line); next != nil {
			next.find(value)
		}
	}
	for ; len(merged) > 0 && merges < maxMerges; merges++ {
		m := merged[0]
		merged = merged[1:]
		if m.Kind == goyaml3.AliasNode {
			m = m.Alias
		}
		switch {
		case m != nil && m.Kind == goyaml3.MappingNode:
			b.findIn(m, merges+1)
		case m != nil && m.Kind == goyaml3.SequenceNode:
			merged = append(append([]*goyaml3.Node(nil), m.Content...), merged...)
		}
	}
}

// jsonLines walks through a value of JSON, which is known to be valid.
type jsonLines struct {
	text    []byte
	decoder *json.Decoder
	line    int // at counted
	counted int
}

// value passes by the next value, looking for everything below b. Its first line is returned; 0
// ends a list or an object.
func (j *jsonLines) value(b *branch) int {
	line, token := j.next()
	delim, nested := token.(json.Delim)
	switch {
	case !nested:
	case delim == '[':
		j.list(b)
	case delim == '{':
		j.object(b)
	default:
		return 0
	}
	return line
}

func (j *jsonLines) list(b *branch) {
	for i := 0; j.decoder.More(); i++ {
		var next *branch
		if b != nil {
			next = b.below[strconv.Itoa(i)]
		}
		if line := j.value(next); next != nil {
			next.at = line
		}
	}
	j.next()
}

func (j *jsonLines) object(b *branch) {
	for j.decoder.More() {
		line, token := j.next()
		key, ok := token.(string)
		if !ok {
			return
		}
		var next *branch
		if b != nil {
			next = b.found(key, line)
		}
		j.value(next)
	}
	j.next()
}

// next is the next token, and the line on which it ends: no token is longer than a line.
func (j *jsonLines) next() (line int, token json.Token) {
	token, err := j.decoder.Token()
	if err != nil {
		return 0, nil
	}
	end := int(j.decoder.InputOffset())
	j.line += bytes.Count(j.text[j.counted:end], []byte("\n"))
	j.counted = end
	return j.line, token
}
