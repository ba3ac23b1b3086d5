// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Object is one Kubernetes object.
type Object struct {
	Place Place
	// GVK is what the object says it is; the kind is never empty.
	GVK schema.GroupVersionKind
	// JSON of the object, without keys that are there twice.
	JSON []byte
}

// Decode reads the object into a type of the Kubernetes API. Fields that the type does not have
// are errors, as for kubectl --validate=strict: a misspelt field would be judged as absent. The
// error can be several, joined.
func (o *Object) Decode(into any) error {
	strict, err := kjson.UnmarshalStrict(o.JSON, into, kjson.DisallowUnknownFields)
	return errors.Join(append(strict, err)...)
}

// Kind names the object's kind for people, sanitised.
func (o *Object) Kind() string { return isolation.Sanitize(o.GVK.Kind, nameLimit) }

// document takes an object, or the items of a list.
func (in *Input) document(d document) {
	in.object(d.place, d.json, schema.GroupVersionKind{})
}

// object takes one object; fallback says what it is if it does not say so itself.
func (in *Input) object(place Place, text []byte, fallback schema.GroupVersionKind) {
	gvk, err := identify(place, text, fallback)
	if err != nil {
		in.fail(place, err)
		return
	}
	if !strings.HasSuffix(gvk.Kind, "List") {
		in.Objects = append(in.Objects, Object{place, gvk, text})
		return
	}
	in.list(place, text, gvk)
}

// list takes the items of a list.
func (in *Input) list(place Place, text []byte, gvk schema.GroupVersionKind) {
	items, err := itemsOf(text)
	if errors.Is(err, errNoList) && !native(gvk.Group) {
		// A custom resource whose name happens to end so.
		in.Objects = append(in.Objects, Object{place, gvk, text})
		return
	}
	if err != nil {
		in.fail(place, fmt.Errorf("%s: %w", gvk.Kind, err))
		return
	}
	// The items of a typed list, as the API server gives it, do not say what they are.
	item := gvk
	if item.Kind = strings.TrimSuffix(gvk.Kind, "List"); item.Kind == "" {
		item = schema.GroupVersionKind{}
	}
	for i, text := range items {
		in.object(place.item(i+1), text, item)
	}
}

// native tells whether the group is one of Kubernetes' own, whose kinds that end in List are lists.
func native(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}

var errNoList = errors.New("items is missing or is no list: is the file cut off?")

func itemsOf(text []byte) ([]json.RawMessage, error) {
	var list struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   any               `json:"metadata"`
		Items      []json.RawMessage `json:"items"`
	}
	strict, err := kjson.UnmarshalStrict(text, &list, kjson.DisallowUnknownFields)
	if err != nil || list.Items == nil {
		return nil, errNoList
	}
	return list.Items, errors.Join(strict...)
}

// identify reads what an object says it is.
func identify(place Place, text []byte, fallback schema.GroupVersionKind) (schema.GroupVersionKind, error) {
	var gvk schema.GroupVersionKind
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return gvk, fmt.Errorf("is no Kubernetes object, but %.64s", text)
	}
	var meta struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &meta); err != nil {
		return gvk, err
	}
	if meta.APIVersion == "" && meta.Kind == "" && fallback.Kind != "" {
		return fallback, nil
	}
	if meta.APIVersion == "" || meta.Kind == "" {
		err := fmt.Errorf("is no Kubernetes object: it needs apiVersion and kind, and has %q and %q", meta.APIVersion, meta.Kind)
		if strings.HasPrefix(filepath.Base(place.File), "kustomization.") {
			err = fmt.Errorf("%w (build it first: kubectl kustomize FOLDER | bulkhead check -f - --policy FILE)", err)
		}
		return gvk, err
	}
	group, err := schema.ParseGroupVersion(meta.APIVersion)
	if err != nil {
		return gvk, err
	}
	return group.WithKind(meta.Kind), nil
}
