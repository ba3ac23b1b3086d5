// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// noon is when the pods of these tests were created.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// fromYAML reads YAML and fails on fields that do not exist.
func fromYAML(tb testing.TB, text string, into any) {
	tb.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		tb.Fatalf("%v in:\n%s", err, text)
	}
}

// policyNamed is a policy with the fields of the spec in YAML; it denies unless they say otherwise.
func policyNamed(tb testing.TB, name, spec string) *v1alpha1.IsolationPolicy {
	tb.Helper()
	p := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.Admission.Action = v1alpha1.Deny
	fromYAML(tb, spec, &p.Spec)
	return p
}

// policy is such a policy, compiled.
func policy(tb testing.TB, spec string) *isolation.Policy {
	tb.Helper()
	return compiled(tb, policyNamed(tb, "tenants", spec))
}

func compiled(tb testing.TB, p *v1alpha1.IsolationPolicy) *isolation.Policy {
	tb.Helper()
	c, err := isolation.Compile(p)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// podSpec is a pod's spec from YAML; without containers it has one called app.
func podSpec(tb testing.TB, spec string) *corev1.PodSpec {
	tb.Helper()
	s := &corev1.PodSpec{}
	fromYAML(tb, spec, s)
	if s.Containers == nil {
		s.Containers = []corev1.Container{{Name: "app"}}
	}
	return s
}

// subject is a pod in namespace shop, with the spec in YAML.
func subject(tb testing.TB, spec string) *isolation.Subject {
	tb.Helper()
	return isolation.NewSubject(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart", Labels: map[string]string{"app": "cart"}, CreationTimestamp: metav1.NewTime(noon),
		},
		Spec: *podSpec(tb, spec),
	}, map[string]string{"tenancy": "shared"})
}

// messages are those of the judgement's violations, each after the axis or the portal.
func messages(j isolation.Judgement) []string {
	var all []string
	for i := range j.Violations {
		all = append(all, j.Violations[i].Subject()+": "+j.Violations[i].Message)
	}
	return all
}

// expectMessages fails unless the policy tells exactly this, in this order.
func expectMessages(t *testing.T, j isolation.Judgement, want ...string) {
	t.Helper()
	if got := messages(j); !slices.Equal(got, want) {
		t.Errorf("violations:\n  %q\nwant:\n  %q", got, want)
	}
}
