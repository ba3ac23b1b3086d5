// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// evaluator judges as an API server does, with its own library and limits. It is put together like
// compilePolicy in k8s.io/apiserver/pkg/admission/plugin/policy/validating, which is not exported.
type evaluator struct {
	matcher                     matchconditions.Matcher
	validator                   validating.Validator
	validation, messages, audit plugincel.ConditionEvaluator
	policy                      *admissionregistrationv1.ValidatingAdmissionPolicy
}

// newEvaluator compiles the policy, and fails the test if anything in it does not compile.
func newEvaluator(tb testing.TB, p *v1alpha1.IsolationPolicy) *evaluator {
	tb.Helper()
	objects, err := vap.Compile(p, vap.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	e, err := evaluatorOf(objects.Policy, environment.StoredExpressions, environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		tb.Fatalf("%v\n%s", err, text(objects.Policy))
	}
	return e
}

func evaluatorOf(p *admissionregistrationv1.ValidatingAdmissionPolicy, mode environment.Type, base *environment.EnvSet) (*evaluator, error) {
	compiler, err := plugincel.NewCompositedCompiler(base)
	if err != nil {
		return nil, err
	}
	options := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
	for i := range p.Spec.Variables {
		v := &validating.Variable{Name: p.Spec.Variables[i].Name, Expression: p.Spec.Variables[i].Expression}
		if result := compiler.CompileAndStoreVariable(v, options, mode); result.Error != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, result.Error)
		}
	}
	var conditions, validations, messages, annotations []plugincel.ExpressionAccessor
	for i := range p.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&p.Spec.MatchConditions[i]))
	}
	for _, v := range p.Spec.Validations {
		validations = append(validations, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
	}
	for _, a := range p.Spec.AuditAnnotations {
		annotations = append(annotations, &validating.AuditAnnotationCondition{Key: a.Key, ValueExpression: a.ValueExpression})
	}
	match := compiler.CompileCondition(conditions, options, mode)
	e := &evaluator{
		policy:     p,
		matcher:    matchconditions.NewMatcher(match, p.Spec.FailurePolicy, "policy", "validate", p.Name),
		validation: compiler.CompileCondition(validations, options, mode),
		messages:   compiler.CompileCondition(messages, plugincel.OptionalVariableDeclarations{}, mode),
		audit:      compiler.CompileCondition(annotations, options, mode),
	}
	e.validator = validating.NewValidator(e.validation, e.matcher, e.audit, e.messages, p.Spec.FailurePolicy, nil)
	return e, errors.Join(errors.Join(match.CompilationErrors()...), errors.Join(e.validation.CompilationErrors()...),
		errors.Join(e.messages.CompilationErrors()...), errors.Join(e.audit.CompilationErrors()...))
}

// request is what an API server asks about.
type request struct {
	pod, old *corev1.Pod
	user     user.Info
	// untyped hands the pod over as API servers before 1.37 do, converted to maps.
	untyped bool
}

func (r *request) operation() admission.Operation {
	if r.old != nil {
		return admission.Update
	}
	return admission.Create
}

// attributes are those of the request.
func (r *request) attributes() *admission.VersionedAttributes {
	kind := corev1.SchemeGroupVersion.WithKind("Pod")
	resource := corev1.SchemeGroupVersion.WithResource("pods")
	object := func(p *corev1.Pod) runtime.Object {
		if r.untyped {
			u, err := admission.ConvertObjectToUnstructured(p)
			if err != nil {
				panic(err)
			}
			return u
		}
		return p
	}
	subresource := ""
	var old runtime.Object
	if r.old != nil {
		subresource, old = "ephemeralcontainers", r.old
	}
	who := r.user
	if who == nil {
		who = &user.DefaultInfo{Name: "jane", Groups: []string{"system:authenticated"}}
	}
	a := &admission.VersionedAttributes{
		Attributes: admission.NewAttributesRecord(r.pod, old, kind, r.pod.Namespace, r.pod.Name, resource, subresource,
			r.operation(), nil, false, who),
		VersionedKind: kind,
	}
	a.VersionedObject.Set(object(r.pod))
	if r.old != nil {
		a.VersionedOldObject.Set(object(r.old))
	}
	return a
}

// answer is what an API server makes of a policy's word.
type answer struct {
	allowed bool
	// broken is set if an expression could not be evaluated.
	broken  bool
	message string
	audit   map[string]string
}

func (e *evaluator) judge(r *request) answer {
	result := e.validator.Validate(context.Background(), corev1.SchemeGroupVersion.WithResource("pods"), r.attributes(), nil,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.pod.Namespace}}, celconfig.RuntimeCELCostBudget, nil)
	out := answer{allowed: true, audit: map[string]string{}}
	for _, d := range result.Decisions {
		out.broken = out.broken || d.Evaluation == validating.EvalError
		if d.Action == validating.ActionDeny {
			out.allowed, out.message = false, d.Message
		}
	}
	for _, a := range result.AuditAnnotations {
		switch a.Action {
		case validating.AuditAnnotationActionPublish:
			out.audit[a.Key] = a.Value
		case validating.AuditAnnotationActionError:
			out.allowed, out.broken, out.message = false, true, a.Error
		}
	}
	return out
}

// text is everything in a policy that is CEL, for a person.
func text(p *admissionregistrationv1.ValidatingAdmissionPolicy) string {
	var b strings.Builder
	for _, c := range p.Spec.MatchConditions {
		fmt.Fprintf(&b, "# match condition %s\n%s\n", c.Name, c.Expression)
	}
	for _, v := range p.Spec.Variables {
		fmt.Fprintf(&b, "# variable %s\n%s\n", v.Name, v.Expression)
	}
	for _, v := range p.Spec.Validations {
		fmt.Fprintf(&b, "# validation\n%s\n# message\n%s\n", v.Expression, v.MessageExpression)
	}
	for _, a := range p.Spec.AuditAnnotations {
		fmt.Fprintf(&b, "# audit annotation %s\n%s\n", a.Key, a.ValueExpression)
	}
	return b.String()
}
