// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	goyaml "go.yaml.in/yaml/v2"
)

// strictJSONOf makes JSON of a document of YAML, with the values that kubectl would read: the parser
// is that of sigs.k8s.io/yaml, in its strict mode. What that library does afterwards is done here,
// for it takes a third of the time, and overlooks keys that are equal as strings only, such as 1 and
// "1". A test holds the two together.
//
// The strict mode also refuses keys that override those of a merge, which are fine: that there is
// an error does not mean that the document is wrong.
func strictJSONOf(text []byte) ([]byte, *typeMeta, error) {
	d := goyaml.NewDecoder(bytes.NewReader(text))
	d.SetStrict(true)
	var value, more any
	strict := d.Decode(&value)
	var typed *goyaml.TypeError
	switch {
	case errors.Is(strict, io.EOF):
		return []byte("null"), nil, nil
	case strict != nil && !errors.As(strict, &typed):
		return nil, nil, strict
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, nil, errMore
	}
	if strict != nil {
		return nil, nil, strict
	}
	// Indentation is more than braces and quotes, nearly always.
	json, err := appendJSON(make([]byte, 0, len(text)), value)
	return json, typeMetaOf(value), err
}

// errMore is what decoders would not read: "...", line breaks of which only YAML knows, and text that
// is less indented than the first line can begin a document where there is no separator.
var errMore = errors.New("a second document begins without a line ---: put one before it")

// typeMeta is what an object says it is.
type typeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// typeMetaOf reads it from a value as the parser gives it; nil if it is not as it should be.
func typeMetaOf(value any) *typeMeta {
	object, _ := value.(map[any]any)
	version, isVersion := object["apiVersion"].(string)
	kind, isKind := object["kind"].(string)
	if !isVersion || !isKind {
		return nil
	}
	return &typeMeta{version, kind}
}

// appendJSON appends a value as the parser gives it.
func appendJSON(b []byte, value any) (_ []byte, err error) {
	switch v := value.(type) {
	case map[any]any:
		return appendObject(b, v)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case string:
		return appendString(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case nil:
		return append(b, "null"...), nil
	default: // numbers that are rare
		text, err := json.Marshal(v)
		return append(b, text...), err
	}
}

func appendObject(b []byte, object map[any]any) (_ []byte, err error) {
	var names map[string]bool
	if !onlyStrings(object) {
		names = make(map[string]bool, len(object))
	}
	b = append(b, '{')
	first := true
	for key, value := range object {
		name, err := nameOf(key)
		if err != nil {
			return nil, err
		}
		if names[name] {
			return nil, fmt.Errorf("key %q is there twice, in different words", name)
		}
		if names != nil {
			names[name] = true
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, name), ':')
		if b, err = appendJSON(b, value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func onlyStrings(object map[any]any) bool {
	for key := range object {
		if _, ok := key.(string); !ok {
			return false
		}
	}
	return true
}

// nameOf is a key of YAML as one of JSON.
func nameOf(key any) (string, error) {
	switch k := key.(type) {
	case string:
		return k, nil
	case int:
		return strconv.Itoa(k), nil
	case bool:
		return strconv.FormatBool(k), nil
	case float64:
		if math.IsNaN(k) {
			return ".nan", nil
		}
		// A large one is infinite in 32 bits: that is how it is done.
		text := strconv.FormatFloat(k, 'g', -1, 32)
		return strings.TrimPrefix(strings.Replace(text, "Inf", ".inf", 1), "+"), nil
	default:
		return "", fmt.Errorf("a key is a %T", key)
	}
}

// appendString quotes a string, as encoding/json does but for the escapes of HTML.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // a string can be marshalled
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
