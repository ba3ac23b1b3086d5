// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// How many cases there are: together at least 20,000.
const (
	differentialPolicies = 130
	requestsPerPolicy    = 160
)

// A comparison is one policy in both languages.
type comparison struct {
	source *v1alpha1.IsolationPolicy
	core   *isolation.Policy
	cel    *evaluator
}

func newComparison(p *v1alpha1.IsolationPolicy) (*comparison, error) {
	core, err := isolation.Compile(p)
	if err != nil {
		return nil, fmt.Errorf("the core refuses the policy: %w", err)
	}
	objects, err := vap.Compile(p, vap.Options{})
	if err != nil {
		return nil, err
	}
	cel, err := evaluatorOf(objects.Policy, environment.StoredExpressions, environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return nil, fmt.Errorf("%w in:\n%s", err, text(objects.Policy))
	}
	return &comparison{p, core, cel}, nil
}

// namespaceLabels are those of every generated namespace but default.
func namespaceLabels(namespace string) labels.Set {
	if namespace == "default" {
		return nil
	}
	return labels.Set{"tenancy": "shared"}
}

// subject is the request as the webhook hands it to the core.
func (r *request) subject() *isolation.Subject {
	s := isolation.NewSubject(r.pod, namespaceLabels(r.pod.Namespace))
	if r.old != nil {
		s.Debug = []string{}
		for _, e := range r.pod.Spec.EphemeralContainers {
			if !slices.ContainsFunc(r.old.Spec.EphemeralContainers, func(o corev1.EphemeralContainer) bool { return o.Name == e.Name }) {
				s.Debug = append(s.Debug, e.Name)
			}
		}
	}
	return s
}

// isMirror tells whether the request makes a genuine mirror pod.
func (r *request) isMirror() bool {
	_, annotated := r.pod.Annotations[corev1.MirrorPodAnnotationKey]
	return annotated && r.old == nil && r.user != nil && r.pod.Spec.NodeName != "" &&
		r.user.GetName() == "system:node:"+r.pod.Spec.NodeName && slices.Contains(r.user.GetGroups(), "system:nodes")
}

// compare judges the request in both languages; the error says how they differ.
func (c *comparison) compare(r *request) (isolation.Judgement, error) {
	subject := r.subject()
	want := c.core.Judge(subject)
	if matched := c.matches(subject); matched != want.Matched {
		return want, fmt.Errorf("the core matches: %t; the constraints match: %t", want.Matched, matched)
	}
	if !want.Matched {
		return want, nil
	}
	got := c.cel.judge(r)
	switch {
	case got.broken:
		return want, fmt.Errorf("an expression fails: %s", got.message)
	case got.allowed != (len(want.Violations) == 0 || r.isMirror()):
		return want, fmt.Errorf("CEL admits: %t (%s); the core finds: %s", got.allowed, got.message, want.Summary())
	}
	told := got.audit["violations"]
	if !got.allowed && told != got.message {
		return want, fmt.Errorf("the message and the audit annotation differ:\n%s\n%s", got.message, told)
	}
	if mirror := got.audit["mirror-pod"]; (mirror != "") != (r.isMirror() && len(want.Violations) > 0) {
		return want, fmt.Errorf("audit annotation mirror-pod is %q, the core finds: %s", mirror, want.Summary())
	}
	return want, c.tells(told, want.Violations)
}

// matches evaluates the match constraints; the API server adds nothing to them.
func (c *comparison) matches(s *isolation.Subject) bool {
	m := c.cel.policy.Spec.MatchConstraints
	for _, pair := range []struct {
		selector *metav1.LabelSelector
		labels   labels.Set
	}{{m.NamespaceSelector, s.NamespaceLabels}, {m.ObjectSelector, s.Labels}} {
		selector, err := metav1.LabelSelectorAsSelector(pair.selector)
		if err != nil || !selector.Matches(pair.labels) {
			return false
		}
	}
	return true
}

// tells says what is wrong with a message.
func (c *comparison) tells(message string, violations []isolation.Violation) error {
	if len(violations) == 0 {
		if message != "" {
			return fmt.Errorf("nothing violates, and it is told: %s", message)
		}
		return nil
	}
	if len(message) > celconfig.MaxEvaluatedMessageExpressionSizeBytes || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("the API server or a terminal does not take this message of %d bytes: %q", len(message), message)
	}
	if strings.Contains(message, "; ... and ") {
		return nil // what is cut has a test of its own
	}
	rest := message
	verbatim := len(c.source.Spec.Exemptions) == 0 // they change remedies, and those who expired are told
	for _, v := range violations {
		if !strings.Contains(message, v.Subject()+": "+v.Field+" is ") {
			return fmt.Errorf("%s of %s is not told: %s", v.Field, v.Subject(), message)
		}
		if len(v.Value) > 128 || strings.ContainsAny(v.Message, `\"`) || strings.Contains(v.Message, "?") {
			verbatim = false // worded in other ways
			continue
		}
		if len(c.source.Spec.Exemptions) == 0 {
			sentence := v.Subject() + ": " + v.Message
			if !strings.Contains(rest, sentence) {
				return fmt.Errorf("the core says %q, CEL says: %s", sentence, rest)
			}
			rest = strings.Replace(rest, sentence, "", 1)
		}
	}
	if _, left, _ := strings.Cut(rest, "requires: "); verbatim && strings.Trim(left, "; ") != "" {
		return fmt.Errorf("what the core does not say: %s", left)
	}
	return nil
}

// Every verdict of the core is that of the generated CEL, evaluated with the API server's library, and
// the message names every field that the core names.
func TestGoAndCELAgree(t *testing.T) {
	policiesCompared := differentialPolicies
	if withRaceDetector {
		policiesCompared /= 20
	}
	seen := newCoverage()
	var policies sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range policiesCompared {
		slots <- struct{}{}
		policies.Go(func() {
			defer func() { <-slots }()
			r := rand.New(rand.NewPCG(uint64(i), 20260601))
			c, err := newComparison(random(r, 200).policy())
			if err != nil {
				t.Error(err)
				return
			}
			for range requestsPerPolicy {
				request := random(r, 300).request()
				judgement, err := c.compare(request)
				if err != nil {
					t.Error(reproducer(c.source, request, err))
					return
				}
				seen.add(c, request, judgement)
			}
		})
	}
	policies.Wait()
	if !withRaceDetector {
		seen.expectComplete(t)
	}
}

// seeded are decisions that are always the same.
func seeded(seed uint64, n int) *choices { return random(rand.New(rand.NewPCG(seed, 0)), n) }

func random(r *rand.Rand, n int) *choices {
	c := make(choices, n)
	for i := range c {
		c[i] = byte(r.UintN(256))
	}
	return &c
}

func FuzzGoAndCELAgree(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 32 {
		f.Add([]byte(*random(r, 200)), []byte(*random(r, 300)))
	}
	f.Fuzz(func(t *testing.T, policy, pod []byte) {
		c, err := newComparison((*choices)(&policy).policy())
		if err != nil {
			t.Fatal(err)
		}
		for len(pod) > 0 {
			request := (*choices)(&pod).request()
			if !utf8.ValidString(request.pod.String()) {
				t.Fatal("the generator makes text that is no UTF-8")
			}
			if _, err := c.compare(request); err != nil {
				t.Fatal(reproducer(c.source, request, err))
			}
		}
	})
}

// reproducer makes policy and pod as small as they can be while both languages still differ, and
// prints them.
func reproducer(p *v1alpha1.IsolationPolicy, r *request, failure error) string {
	differ := func(p *v1alpha1.IsolationPolicy, r *request) error {
		// A policy that is none reproduces nothing.
		c, err := newComparison(p)
		if err == nil {
			_, err = c.compare(r)
			return err
		}
		return nil
	}
	p = shrunk(p, func(smaller *v1alpha1.IsolationPolicy) bool { return differ(smaller, r) != nil })
	c, err := newComparison(p)
	if err != nil {
		return err.Error()
	}
	small := *r
	still := func() bool { _, err := c.compare(&small); return err != nil }
	small.pod = shrunk(r.pod, func(pod *corev1.Pod) bool { small.pod = pod; return still() })
	if r.old != nil {
		small.old = shrunk(r.old, func(pod *corev1.Pod) bool { small.old = pod; return still() })
	}
	if _, err := c.compare(&small); err != nil {
		failure = err
	}
	policy, _ := yaml.Marshal(p)
	pod, _ := yaml.Marshal(small.pod)
	old, _ := yaml.Marshal(small.old)
	return fmt.Sprintf("%v\n--- policy\n%s--- pod (user %v, untyped %t)\n%s--- before\n%s--- CEL\n%s", failure, policy, small.user, small.untyped, pod, old, text(c.cel.policy))
}

// shrunk leaves out of an object what it can while it still fails.
func shrunk[T any](o *T, fails func(*T) bool) *T {
	for {
		raw, _ := json.Marshal(o)
		var content map[string]any
		_ = json.Unmarshal(raw, &content)
		smaller, found := (*T)(nil), false
		for _, without := range leavingOut(content) {
			candidate := new(T)
			raw, _ := json.Marshal(without)
			if json.Unmarshal(raw, candidate) == nil && len(raw) > 0 && fails(candidate) {
				if again, _ := json.Marshal(candidate); len(again) < len(mustJSON(o)) {
					smaller, found = candidate, true
					break
				}
			}
		}
		if !found {
			fails(o) // leaves the smallest where the test looks
			return o
		}
		o = smaller
	}
}

func mustJSON(o any) []byte {
	raw, _ := json.Marshal(o)
	return raw
}

// leavingOut are all copies of a value in which one thing is missing, the largest first.
func leavingOut(value any) []any {
	var out []any
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			without := map[string]any{}
			for k, e := range v {
				if k != key {
					without[k] = e
				}
			}
			out = append(out, without)
			for _, smaller := range leavingOut(v[key]) {
				changed := map[string]any{}
				for k, e := range v {
					changed[k] = e
				}
				changed[key] = smaller
				out = append(out, changed)
			}
		}
	case []any:
		for i := range v {
			out = append(out, slices.Delete(slices.Clone(v), i, i+1))
			for _, smaller := range leavingOut(v[i]) {
				changed := slices.Clone(v)
				changed[i] = smaller
				out = append(out, changed)
			}
		}
	}
	return out
}
