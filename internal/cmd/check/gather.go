// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/policies"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// gathered is everything that was read, and judged on the way.
type gathered struct {
	namespace string   // of manifests that name none
	excluded  []string // about which admission does not ask
	now       time.Time

	targets    []target
	policies   []*policy
	namespaces namespaces
	notes      []string
	problems   []error
}

// gather reads all files.
func gather(r *manifest.Reader, o *options, now time.Time) *gathered {
	g := &gathered{namespaces: make(namespaces), namespace: o.namespace, excluded: o.excluded, now: now}
	g.takePolicies(policies.Load(r, o.policies))
	if len(o.namespaces) > 0 {
		g.takeNamespaces(manifest.Read(r, manifest.Arguments{Files: o.namespaces}, takeNamespace))
	}
	g.takeManifests(manifest.Read(r, o.manifests(), g.take))
	return g
}

func (g *gathered) takePolicies(loaded policies.Loaded) {
	g.notes, g.problems = loaded.Notes, loaded.Problems
	for _, source := range loaded.Sources {
		for _, caveat := range isolation.Caveats(source, g.now) {
			g.notes = append(g.notes, "IsolationPolicy "+shown(source.Name)+": "+caveat)
		}
	}
	var err error
	if g.policies, err = policiesOf(&loaded); err != nil {
		g.problems = append(g.problems, err)
	}
}

// takeManifests takes what was found in the manifests.
func (g *gathered) takeManifests(in manifest.Input[found]) {
	g.notes = append(g.notes, in.Notes...)
	g.problems = append(g.problems, in.Problems...)
	var others, unapplied tally
	given := make(namespaces)
	for i := range in.Found {
		switch o := &in.Found[i]; {
		case o.Value.target != nil:
			o.Value.target.place = o.Place
			g.targets = append(g.targets, *o.Value.target)
		case o.Value.namespace != nil:
			g.problems = append(g.problems, manifest.Problems(o.Place, given.take(o.Value.namespace))...)
		case o.GVK == policies.Kind:
			if !g.judgesBy(o.Value.policy) {
				unapplied.add(o.Kind())
			}
		default:
			others.add(o.Kind())
		}
	}
	g.notes = append(g.notes, g.namespaces.override(given)...)
	if n := unapplied.total; n > 0 {
		g.notes = append(g.notes, fmt.Sprintf("policies in the input are not judged by unless --policy names their file; left out: %s", unapplied))
	}
	if n := others.total; n > 0 {
		g.notes = append(g.notes, fmt.Sprintf("%s not judged: %s", plural(n, "object of another kind was", "objects of other kinds were"), others))
	}
	if len(g.targets) == 0 && len(g.problems) == 0 {
		g.notes = append(g.notes, "nothing was judged: the input holds no pod and no workload")
	}
}

// judgesBy tells whether a policy in the input was also given by --policy.
func (g *gathered) judgesBy(name string) bool {
	return slices.ContainsFunc(g.policies, func(p *policy) bool { return p.Name == name })
}

// tally counts names in the order of their first appearance.
type tally struct {
	names  []string
	counts map[string]int
	total  int
}

func (t *tally) add(name string) {
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	if t.counts[name] == 0 {
		t.names = append(t.names, name)
	}
	t.counts[name]++
	t.total++
}

// String lists the names, with their counts where there are several: "Service (2), ConfigMap".
func (t tally) String() string {
	parts := make([]string, len(t.names))
	for i, name := range t.names {
		parts[i] = name
		if n := t.counts[name]; n > 1 {
			parts[i] += " (" + strconv.Itoa(n) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// plural is "1 one" or "n many".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
