// SPDX-License-Identifier: Apache-2.0

// Package policies loads IsolationPolicies from files, and refuses what an API server would refuse.
package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Kind is the kind that this package loads.
var Kind = v1alpha1.GroupVersion.WithKind("IsolationPolicy")

// Loaded is what was found in the files.
type Loaded struct {
	// Policies in the order of the input, ready to judge. Their names differ.
	Policies []*isolation.Policy
	// Sources are the same policies as they were written, with the API's defaults.
	Sources []*v1alpha1.IsolationPolicy
	// Notes are about what was left out and is no error: a sentence each, sanitised.
	Notes []string
	// Problems are inputs that cannot be used, all of them; then the policies must not be used
	// either, for they are not all.
	Problems []error
}

// policy is one that was found; nil if an object is of another group.
type policy struct {
	compiled *isolation.Policy
	source   *v1alpha1.IsolationPolicy
}

// Load reads the policies in files and folders. A file that is named, or a folder, without any
// policy is a problem: judging by no policy passes everything.
func Load(r *manifest.Reader, paths []string) Loaded {
	var l Loaded
	seen := make(map[string]manifest.Place)
	for _, path := range paths {
		in := manifest.Read(r, manifest.Arguments{Files: []string{path}}, take)
		l.Notes = append(l.Notes, in.Notes...)
		l.Problems = append(l.Problems, in.Problems...)
		l.add(path, &in, seen)
	}
	return l
}

// take makes a policy ready to judge.
func take(o *manifest.Object) (*policy, error) {
	if o.GVK.Group != v1alpha1.Group {
		return nil, nil
	}
	validator, err := builtIn()
	if err != nil {
		return nil, err
	}
	return validator.compile(o)
}

// add takes the policies of one argument.
func (l *Loaded) add(path string, in *manifest.Input[*policy], seen map[string]manifest.Place) {
	policies := 0
	others := make(map[string][]string) // kinds by file
	var files []string
	for i := range in.Found {
		o := &in.Found[i]
		if o.Value == nil {
			if others[o.Place.File] == nil {
				files = append(files, o.Place.File)
			}
			others[o.Place.File] = append(others[o.Place.File], o.Kind())
			continue
		}
		policies++
		name := o.Value.compiled.Name
		if first, twice := seen[name]; twice {
			err := fmt.Errorf("IsolationPolicy %q is also in %s: names must differ", name, first)
			l.Problems = append(l.Problems, manifest.Problems(o.Place, err)...)
			continue
		}
		seen[name] = o.Place
		l.Policies = append(l.Policies, o.Value.compiled)
		l.Sources = append(l.Sources, o.Value.source)
	}
	if policies == 0 && len(in.Problems) == 0 {
		err := errors.New("holds no IsolationPolicy")
		l.Problems = append(l.Problems, manifest.Problems(manifest.Place{File: path}, err)...)
		return
	}
	for _, file := range files {
		kinds := others[file]
		slices.Sort(kinds)
		l.Notes = append(l.Notes, fmt.Sprintf("%s: no policies, and left out: %s",
			manifest.Place{File: file}, strings.Join(slices.Compact(kinds), ", ")))
	}
}

// kindError says what an object of our group is that is no policy.
func kindError(gvk schema.GroupVersionKind) error {
	return fmt.Errorf("%s of %s is no %s of %s, the only kind of policy",
		gvk.Kind, gvk.GroupVersion(), Kind.Kind, Kind.GroupVersion())
}
