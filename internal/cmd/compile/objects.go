// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// staticSuffix ends the names of what an API server loads from files (KEP-5793, StaticConfigSuffix in
// k8s.io/apiserver/pkg/admission/plugin/manifest).
const staticSuffix = ".static.k8s.io"

// compileAll makes the objects of all policies: of each the policy, then its binding. The problems are
// those of all policies.
func (o *options) compileAll(sources []*v1alpha1.IsolationPolicy) (objects []map[string]any, problems []error) {
	for _, source := range sources {
		p := source.DeepCopy()
		// What a policy is in its cluster is nothing to whoever else enforces it: an owner that
		// does not exist there would have its objects deleted.
		p.UID, p.Generation = "", 0
		compiled, err := vap.Compile(p, vap.Options{ExcludedNamespaces: o.excluded})
		if err != nil {
			problems = append(problems, err)
			continue
		}
		o.rename(compiled)
		for _, object := range []runtime.Object{compiled.Policy, compiled.Binding} {
			content, err := content(object)
			if err != nil {
				problems = append(problems, fmt.Errorf("IsolationPolicy %q: %w", p.Name, err))
				continue
			}
			objects = append(objects, content)
		}
	}
	return objects, problems
}

// rename makes the objects those of whoever applies them, and not the manager's.
func (o *options) rename(objects *vap.Objects) {
	for _, m := range []*metav1.ObjectMeta{&objects.Policy.ObjectMeta, &objects.Binding.ObjectMeta} {
		m.Labels, m.Annotations = nil, nil
		if o.static {
			m.Name += staticSuffix
		}
	}
	objects.Binding.Spec.PolicyName = objects.Policy.Name
}

// content is an object as a person would write it: without a status, and without what is null.
func content(object runtime.Object) (map[string]any, error) {
	c, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(c, "status")
	unstructured.RemoveNestedField(c, "metadata", "creationTimestamp")
	return c, nil
}

func print(out io.Writer, format string, objects []map[string]any) error {
	if format == "json" {
		items := make([]any, len(objects))
		for i := range objects {
			items[i] = objects[i]
		}
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	}
	for i, object := range objects {
		if i > 0 {
			if _, err := io.WriteString(out, "---\n"); err != nil {
				return err
			}
		}
		text, err := yaml.Marshal(object)
		if err != nil {
			return err
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return nil
}
