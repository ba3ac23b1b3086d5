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

	document *document
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

// finds takes objects and what is wrong with them.
type finds interface {
	object(Object)
	problem(Place, error)
	// fork is another one that can be used beside; join takes what it found.
	fork() finds
	join(finds)
}

// objects hands over the object that a text holds, or the items if it is a list; fallback says what
// it is if it does not say so itself.
func (d *document) objects(place Place, text []byte, fallback schema.GroupVersionKind, to finds) {
	gvk, err := d.identify(place, text, fallback)
	if err != nil {
		to.problem(place, err)
		return
	}
	var items []json.RawMessage
	isList := strings.HasSuffix(gvk.Kind, "List")
	if isList {
		items, err = itemsOf(text)
		// Else a custom resource whose name happens to end so.
		isList = !errors.Is(err, errNoList) || native(gvk.Group)
	}
	switch {
	case !isList && d.isJSON:
		err = onceEach(text)
	case !isList:
		err = nil // the parser of YAML has looked
	case err != nil:
		err = fmt.Errorf("%s: %w", gvk.Kind, err)
	default:
		d.items(place, items, gvk, to)
		return
	}
	if err != nil {
		to.problem(place, err)
		return
	}
	to.object(Object{place, gvk, text, d})
}

// items hands over the items of a list, which are read beside each other.
func (d *document) items(place Place, texts []json.RawMessage, list schema.GroupVersionKind, to finds) {
	// The items of a typed list, as the API server gives it, do not say what they are.
	fallback := list
	if fallback.Kind = strings.TrimSuffix(list.Kind, "List"); fallback.Kind == "" {
		fallback = schema.GroupVersionKind{}
	}
	type item struct {
		place Place
		text  []byte
		own   *document
		found finds
	}
	items := make([]*item, len(texts))
	for i, text := range texts {
		own := *d
		own.wishes = nil
		items[i] = &item{place.item(i + 1), text, &own, to.fork()}
	}
	parallel(items, func(i *item) { i.own.objects(i.place, i.text, fallback, i.found) })
	for _, i := range items {
		d.wishes = append(d.wishes, i.own.wishes...)
		to.join(i.found)
	}
}

// onceEach refuses keys that are there twice, which decoders of JSON take for the last of them.
func onceEach(text []byte) error {
	var any map[string]any
	strict, err := kjson.UnmarshalStrict(text, &any)
	return errors.Join(append(strict, err)...)
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
	strict, err := kjson.UnmarshalStrict(text, &list)
	if err != nil || list.Items == nil {
		return nil, errNoList
	}
	return list.Items, errors.Join(strict...)
}

// identify reads what an object says it is.
func (d *document) identify(place Place, text []byte, fallback schema.GroupVersionKind) (schema.GroupVersionKind, error) {
	var gvk schema.GroupVersionKind
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return gvk, fmt.Errorf("is no Kubernetes object, but %.64s", text)
	}
	var meta typeMeta
	if d.meta != nil && len(place.Items) == 0 {
		meta = *d.meta
	} else if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &meta); err != nil {
		return gvk, err
	}
	if meta.APIVersion == "" && meta.Kind == "" && fallback.Kind != "" {
		return fallback, nil
	}
	if meta.APIVersion == "" || meta.Kind == "" {
		err := fmt.Errorf("is no Kubernetes object: it needs apiVersion and kind, and has %q and %q", meta.APIVersion, meta.Kind)
		if strings.HasPrefix(filepath.Base(place.File), "kustomization.") {
			err = fmt.Errorf("%w (build it first, as in: kubectl kustomize FOLDER)", err)
		}
		return gvk, err
	}
	group, err := schema.ParseGroupVersion(meta.APIVersion)
	if err != nil {
		return gvk, err
	}
	return group.WithKind(meta.Kind), nil
}
