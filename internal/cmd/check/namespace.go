// SPDX-License-Identifier: Apache-2.0

package check

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// namespaces are the labels of the namespaces that are known.
type namespaces map[string]labels.Set

// namespaceOf reads a Namespace object.
func namespaceOf(o *manifest.Object) (*corev1.Namespace, error) {
	ns := &corev1.Namespace{}
	if err := o.Decode(ns); err != nil {
		return nil, err
	}
	if ns.Name == "" {
		return nil, errors.New("metadata.name is missing")
	}
	return ns, nil
}

// take learns from a Namespace object.
func (n namespaces) take(ns *corev1.Namespace) error {
	set := labelsOf(ns.Name, ns.Labels)
	if former, twice := n[ns.Name]; twice && !maps.Equal(former, set) {
		return fmt.Errorf("namespace %q is there twice, with different labels", ns.Name)
	}
	n[ns.Name] = set
	return nil
}

// labelsOf adds the label that the API server sets on every namespace.
func labelsOf(name string, own map[string]string) labels.Set {
	set := make(labels.Set, len(own)+1)
	maps.Copy(set, own)
	set[corev1.LabelMetadataName] = name
	return set
}

// override takes the namespaces of the manifests over those of --namespaces: they are what is
// about to be applied. The notes tell where the two differ.
func (n namespaces) override(given namespaces) (notes []string) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if former, both := n[name]; both && !maps.Equal(former, given[name]) {
			notes = append(notes, fmt.Sprintf("namespace %s has other labels in the manifests than in --namespaces: those of the manifests were taken", shown(name)))
		}
		n[name] = given[name]
	}
	return notes
}

// takeNamespace reads an object of --namespaces: nil if it is of another kind.
func takeNamespace(o *manifest.Object) (*corev1.Namespace, error) {
	if o.GVK != core("Namespace") {
		return nil, nil
	}
	return namespaceOf(o)
}

// takeNamespaces learns from the files of --namespaces.
func (g *gathered) takeNamespaces(in manifest.Input[*corev1.Namespace]) {
	g.notes = append(g.notes, in.Notes...)
	g.problems = append(g.problems, in.Problems...)
	var others tally
	for i := range in.Found {
		o := &in.Found[i]
		if o.Value == nil {
			others.add(o.Kind())
			continue
		}
		g.problems = append(g.problems, manifest.Problems(o.Place, g.namespaces.take(o.Value))...)
	}
	switch {
	case others.total > 0:
		g.notes = append(g.notes, fmt.Sprintf("only Namespace objects of --namespaces are used; left out: %s", others))
	case len(g.namespaces) == 0 && len(in.Problems) == 0:
		g.notes = append(g.notes, "--namespaces holds no Namespace")
	}
}

// in is the subject as a policy has to see it, and whether the labels of its namespace would have
// to be known. Without them the label that every namespace has can be enough: it decides if the
// selector asks for nothing else, or if its part of the selector does not match.
func (n namespaces) in(s isolation.Subject, p *isolation.Policy) (subject isolation.Subject, unknown bool) {
	set, known := n[s.Namespace]
	if known {
		s.NamespaceLabels = set
		return s, false
	}
	s.NamespaceLabels = labelsOf(s.Namespace, nil)
	if p.NamespaceSelector == nil {
		return s, false
	}
	requirements, _ := p.NamespaceSelector.Requirements()
	for i := range requirements {
		if r := &requirements[i]; r.Key() != corev1.LabelMetadataName {
			s.NamespaceUnknown = true
		} else if !r.Matches(s.NamespaceLabels) {
			s.NamespaceUnknown = false
			break
		}
	}
	return s, s.NamespaceUnknown
}
