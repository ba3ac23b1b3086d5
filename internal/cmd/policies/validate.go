// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/config/crd"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/manifest"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// validator judges a policy as an API server does that has the CustomResourceDefinition: with its
// schema and its CEL rules, by the API server's own code, so that each rule exists once. The order
// is that of customResourceStrategy in k8s.io/apiextensions-apiserver/pkg/registry/customresource,
// which cannot be used itself: it brings etcd along.
type validator struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	cel        *cel.Validator
}

// builtIn is the validator of the CustomResourceDefinition that is built in, compiled once. It fails
// only if that is broken.
var builtIn = sync.OnceValues(func() (*validator, error) {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(crd.IsolationPolicies, &definition); err != nil {
		return nil, fmt.Errorf("read the CustomResourceDefinition that is built in: %w", err)
	}
	for i := range definition.Spec.Versions {
		version := &definition.Spec.Versions[i]
		if version.Name == v1alpha1.GroupVersion.Version && version.Schema != nil {
			return validatorOf(version.Schema.OpenAPIV3Schema)
		}
	}
	return nil, fmt.Errorf("the CustomResourceDefinition that is built in has no version %s", v1alpha1.GroupVersion.Version)
})

func validatorOf(schema *apiextensionsv1.JSONSchemaProps) (*validator, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(schema, &internal, nil); err != nil {
		return nil, fmt.Errorf("convert the schema that is built in: %w", err)
	}
	structural, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return nil, fmt.Errorf("take the schema that is built in as structural: %w", err)
	}
	v := &validator{structural: structural, cel: cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	if v.schema, _, err = validation.NewSchemaValidator(&internal); err != nil {
		return nil, fmt.Errorf("use the schema that is built in: %w", err)
	}
	return v, nil
}

// compile makes the policy ready to judge, or says everything that is wrong with it.
func (v *validator) compile(o *manifest.Object) (*policy, error) {
	if o.GVK != Kind {
		return nil, kindError(o.GVK)
	}
	var content map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.JSON, &content); err != nil {
		return nil, err
	}
	// A list's item may leave out what the list says.
	content["apiVersion"], content["kind"] = Kind.ToAPIVersionAndKind()
	// A creation cannot set a status, and whoever sends it leaves out a namespace.
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "namespace")

	if err := errors.Join(v.unknown(content), v.valid(content)); err != nil {
		return nil, err
	}
	// What the schema leaves to the types: unknown fields and wrong types in metadata.
	if err := o.Decode(&v1alpha1.IsolationPolicy{}); err != nil {
		return nil, err
	}
	source := &v1alpha1.IsolationPolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, source); err != nil {
		return nil, err
	}
	compiled, err := isolation.Compile(source)
	if err != nil {
		return nil, err
	}
	return &policy{compiled, source}, nil
}

// unknown refuses fields that are not in the schema: the API server drops them, kubectl refuses
// them.
func (v *validator) unknown(content map[string]any) error {
	pruned := runtime.DeepCopyJSON(content)
	fields := pruning.PruneWithOptions(pruned, v.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	errs := make([]error, len(fields))
	for i, f := range fields {
		errs[i] = fmt.Errorf("unknown field %q", f)
	}
	return errors.Join(errs...)
}

// valid sets the defaults in content, and then makes the API server's checks of a new object.
func (v *validator) valid(content map[string]any) error {
	defaulting.PruneNonNullableNullsWithoutDefaults(content, v.structural)
	defaulting.Default(content, v.structural)
	errs := validMeta(content["metadata"])
	errs = append(errs, validation.ValidateCustomResource(nil, content, v.schema)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, v.structural, content)...)
	if !blocksRules(errs) {
		ruled, _ := v.cel.Validate(context.Background(), nil, v.structural, content, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, ruled...)
	}
	return joined(errs)
}

// validMeta checks what the schema says nothing of. What is not of the right type is left to the
// decoder.
func validMeta(content any) field.ErrorList {
	var meta metav1.ObjectMeta
	if fields, ok := content.(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &meta); err != nil {
			return nil
		}
	}
	return apivalidation.ValidateObjectMeta(&meta, false, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
}

func joined(list field.ErrorList) error {
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = e
		if e.Field == "" || e.Field == "<nil>" {
			// A rule of the whole object: its message says it all.
			errs[i] = errors.New(e.Detail)
		}
	}
	return errors.Join(errs...)
}

// blocksRules tells whether an error keeps the API server from evaluating CEL rules.
func blocksRules(errs field.ErrorList) bool {
	for _, e := range errs {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong,
			field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}
