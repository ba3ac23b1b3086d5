// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

func compiled(tb testing.TB, p *v1alpha1.IsolationPolicy, o vap.Options) *vap.Objects {
	tb.Helper()
	objects, err := vap.Compile(p, o)
	if err != nil {
		tb.Fatal(err)
	}
	return objects
}

func TestObjectsAreNamedOwnedAndLabelled(t *testing.T) {
	p := policy(t, everything)
	o := compiled(t, p, vap.Options{})
	for _, m := range []metav1.ObjectMeta{o.Policy.ObjectMeta, o.Binding.ObjectMeta} {
		if want := "bulkhead-tenants-11111111-2222-3333-4444-555555555555"; m.Name != want || vap.Name(p) != want {
			t.Errorf("name %q", m.Name)
		}
		if len(m.OwnerReferences) != 1 || m.OwnerReferences[0].UID != p.UID || m.OwnerReferences[0].Kind != "IsolationPolicy" || !*m.OwnerReferences[0].Controller {
			t.Errorf("owners %v", m.OwnerReferences)
		}
		if m.Labels["app.kubernetes.io/managed-by"] != "bulkhead-manager" || m.Annotations[v1alpha1.AnnotationGeneration] != "7" {
			t.Errorf("labels %v, annotations %v", m.Labels, m.Annotations)
		}
	}
	if o.Binding.Spec.PolicyName != o.Policy.Name {
		t.Errorf("the binding is for %q", o.Binding.Spec.PolicyName)
	}
	p.UID = ""
	if o := compiled(t, p, vap.Options{}); o.Policy.Name != "bulkhead-tenants" || o.Policy.OwnerReferences != nil {
		t.Errorf("from a file: name %q, owners %v", o.Policy.Name, o.Policy.OwnerReferences)
	}
}

func TestOnlyDenyFailsClosed(t *testing.T) {
	for action, want := range map[v1alpha1.AdmissionAction]admissionregistrationv1.FailurePolicyType{
		v1alpha1.Deny: admissionregistrationv1.Fail, v1alpha1.Warn: admissionregistrationv1.Ignore, v1alpha1.Audit: admissionregistrationv1.Ignore,
	} {
		p := policy(t, "isolation: {pid: Pod}")
		p.Spec.Admission.Action = action
		o := compiled(t, p, vap.Options{})
		if *o.Policy.Spec.FailurePolicy != want {
			t.Errorf("%s: failure policy %s", action, *o.Policy.Spec.FailurePolicy)
		}
		if a := o.Binding.Spec.ValidationActions; len(a) != 1 || string(a[0]) != string(action) {
			t.Errorf("%s: validation actions %v", action, a)
		}
	}
}

func TestExcludedNamespacesAreNotAsked(t *testing.T) {
	p := policy(t, "isolation: {pid: Pod}\nmatch: {namespaceSelector: {matchExpressions: [{key: tenancy, operator: Exists}]}, podSelector: {matchLabels: {app: web}}}")
	m := compiled(t, p, vap.Options{ExcludedNamespaces: []string{"kube-system", "bulkhead-system"}}).Policy.Spec.MatchConstraints
	if want := "kubernetes.io/metadata.name notin (bulkhead-system,kube-system),tenancy"; metav1.FormatLabelSelector(m.NamespaceSelector) != want {
		t.Errorf("namespaces %s", metav1.FormatLabelSelector(m.NamespaceSelector))
	}
	if metav1.FormatLabelSelector(m.ObjectSelector) != "app=web" {
		t.Errorf("pods %s", metav1.FormatLabelSelector(m.ObjectSelector))
	}
	if n := len(p.Spec.Match.NamespaceSelector.MatchExpressions); n != 1 {
		t.Errorf("the policy's selector has %d expressions now", n)
	}
}

// 1.34 lets a new policy use what 1.33 knows.
func TestUsesNothingThatTheOldestAPIServerDoesNotKnow(t *testing.T) {
	oldest := environment.MustBaseEnvSet(version.MajorMinor(1, 33))
	policies := []*v1alpha1.IsolationPolicy{policy(t, everything), largest(t), policy(t, "isolation: {mount: Container}")}
	for i := range uint64(8) {
		policies = append(policies, seeded(i, 200).policy())
	}
	for _, p := range policies {
		o := compiled(t, p, vap.Options{})
		if _, err := evaluatorOf(o.Policy, environment.NewExpressions, oldest); err != nil {
			t.Errorf("%v in:\n%s", err, text(o.Policy))
		}
	}
}

func TestAMessageIsCutToWhatTheAPIServerTakes(t *testing.T) {
	var containers []string
	for i := range 60 {
		containers = append(containers, fmt.Sprintf("{name: c%d, securityContext: {privileged: true}}", i))
	}
	a := newEvaluator(t, policy(t, everything)).judge(&request{pod: pod(t, "containers: ["+strings.Join(containers, ", ")+"]")})
	// cgroup, privileged, capabilities, procMount, devices.
	told := strings.Count(a.message, "; ")
	expectRefused(t, a, "this asks for less isolation than policy tenants requires: cgroup: spec.containers[0].securityContext.privileged is true and claims Host, Container is required: remove it or set it to false; ",
		fmt.Sprintf("; ... and %d more", 5*60-told))
	if n := len(a.message); n < 4000 || n > celconfig.MaxEvaluatedMessageExpressionSizeBytes {
		t.Errorf("the message has %d bytes", n)
	}
}

func TestHostileTextCannotBreakAMessage(t *testing.T) {
	e := newEvaluator(t, policy(t, everything))
	for _, hostile := range []string{"/\n\x1b[2Jx", "/ü\u202e", "/" + strings.Repeat("ü", 5000), "/a\r\nb; ... and 3 more"} {
		p := pod(t, "hostPID: true\nvolumes: [{name: v, hostPath: {path: /x}}]")
		p.Spec.Volumes[0].HostPath.Path = hostile
		a := e.judge(&request{pod: p})
		expectRefused(t, a, "pid: spec.hostPID is true", "hostPaths: spec.volumes[0].hostPath.path is /")
		if strings.ContainsFunc(a.message, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
			t.Errorf("%q", a.message)
		}
	}
}

func TestOnlyAGenuineMirrorPodIsAdmittedAndItIsFlagged(t *testing.T) {
	node := &user.DefaultInfo{Name: "system:node:n1", Groups: []string{"system:nodes", "system:authenticated"}}
	annotated := map[string]string{"kubernetes.io/config.mirror": "x"}
	e := newEvaluator(t, policy(t, "isolation: {pid: Pod}"))
	for name, c := range map[string]struct {
		annotations map[string]string
		node        string
		user        user.Info
		admitted    bool
	}{
		"the node's own":                {annotated, "n1", node, true},
		"one without the annotation":    {nil, "n1", node, false},
		"one of another node":           {annotated, "n2", node, false},
		"one without a node":            {annotated, "", &user.DefaultInfo{Name: "system:node:", Groups: node.Groups}, false},
		"anybody's with the annotation": {annotated, "n1", &user.DefaultInfo{Name: "jane"}, false},
		"one of a user named as a node": {annotated, "n1", &user.DefaultInfo{Name: "system:node:n1", Groups: []string{"system:authenticated"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(t, "hostPID: true")
			p.Annotations, p.Spec.NodeName = c.annotations, c.node
			a := e.judge(&request{pod: p, user: c.user})
			if !c.admitted {
				expectRefused(t, a, "pid: spec.hostPID")
				return
			}
			expectAdmitted(t, a)
			if a.audit["mirror-pod"] != "n1" || !strings.Contains(a.audit["violations"], "pid: spec.hostPID is true") {
				t.Errorf("audit annotations %v", a.audit)
			}
			p.Spec.HostPID = false
			if a := e.judge(&request{pod: p, user: c.user}); len(a.audit) > 0 {
				t.Errorf("one that violates nothing is flagged: %v", a.audit)
			}
		})
	}
}

func TestCommonPodsAreNotLookedAtTwice(t *testing.T) {
	e := newEvaluator(t, policy(t, everything))
	r := &request{pod: pod(t, `{containers: [{name: app, ports: [{containerPort: 80}], livenessProbe: {httpGet: {port: 80}},
		securityContext: {privileged: false, capabilities: {drop: [ALL]}}}], volumes: [{name: data, emptyDir: {}}]}`)}
	if m := e.matcher.Match(t.Context(), r.attributes(), nil, nil); m.Matches || m.Error != nil {
		t.Errorf("the match condition lets it through: %+v", m)
	}
}

func TestWhatCannotBeSaidOrPaidForIsRefusedWithTheField(t *testing.T) {
	longest := func(p *v1alpha1.IsolationPolicy) {
		for i := range p.Spec.Portals.HostPaths.Allow {
			p.Spec.Portals.HostPaths.Allow[i].PathPrefix = "/" + strings.Repeat("a", 1000)
		}
	}
	manyExemptions := func(change func(e *v1alpha1.Exemption)) func(*v1alpha1.IsolationPolicy) {
		return func(p *v1alpha1.IsolationPolicy) {
			p.Spec.Exemptions = nil
			for i := range 64 {
				e := v1alpha1.Exemption{Name: fmt.Sprintf("e%d", i), Reason: "x", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}}
				change(&e)
				p.Spec.Exemptions = append(p.Spec.Exemptions, e)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.IsolationPolicy)
		want   string
	}{
		"a level that does not exist": {func(p *v1alpha1.IsolationPolicy) { p.Spec.Isolation.PID = "Foreign" }, "spec.isolation"},
		"long prefixes":               {longest, "spec.portals.hostPaths and spec.exemptions[*].portals.hostPaths: together they list so much"},
		"many ranges of ports": {manyExemptions(func(e *v1alpha1.Exemption) {
			e.Portals = &v1alpha1.ExemptPortals{HostPorts: &v1alpha1.HostPortsPortal{Allow: []v1alpha1.PortRange{{From: 1, To: 2}, {From: 4, To: 5}}}}
		}), "spec.portals.hostPorts and spec.exemptions[*].portals.hostPorts"},
		"many capabilities": {manyExemptions(func(e *v1alpha1.Exemption) {
			e.Portals = &v1alpha1.ExemptPortals{Capabilities: &v1alpha1.ExemptCapabilities{Allow: []v1alpha1.Capability{"A", "B", "C", "D"}}}
		}), "spec.portals.capabilities and spec.exemptions[*].portals.capabilities"},
		"expressions that are too long in all": {manyExemptions(func(e *v1alpha1.Exemption) {
			for i := range 64 {
				e.ServiceAccounts = append(e.ServiceAccounts, fmt.Sprintf("%0250d", i))
			}
		}), "spec becomes expressions of"},
	} {
		t.Run(name, func(t *testing.T) {
			p := largest(t)
			c.change(p)
			_, err := vap.Compile(p, vap.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `IsolationPolicy "tenants"`) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// What the core makes of a capability with Go's Unicode, CEL makes of it with two replacements: no
// other rune becomes ASCII in upper case.
func TestNoOtherRuneBecomesASCIIInUpperCase(t *testing.T) {
	for r := rune(unicode.MaxASCII + 1); r <= unicode.MaxRune; r++ {
		if up := unicode.ToUpper(r); up <= unicode.MaxASCII && r != 'ſ' && r != 'ı' {
			t.Errorf("%q becomes %q", r, up)
		}
	}
}
