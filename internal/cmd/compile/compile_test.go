// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	policyloader "k8s.io/apiserver/pkg/admission/plugin/policy/manifest/loader"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/cmd/compile"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
)

const tenants = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: tenants, uid: 11111111-2222-3333-4444-555555555555, generation: 4}
spec: {isolation: {pid: Pod}, admission: {action: Deny}}
`

const second = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: second}
spec: {portals: {privileged: Forbid}, admission: {action: Warn}}
`

// run runs the command with this standard input.
func run(stdin string, args ...string) (out, errOut string, err error) {
	c := compile.Command()
	var o, e bytes.Buffer
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&o)
	c.SetErr(&e)
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.Execute()
	return o.String(), e.String(), err
}

// succeed is what the command prints; it must not complain.
func succeed(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errOut, err := run(stdin, args...)
	if err != nil || errOut != "" {
		t.Fatalf("error %v\n%s", err, errOut)
	}
	return out
}

func TestPrintsPolicyAndBindingOfEachPolicy(t *testing.T) {
	documents := strings.Split(succeed(t, tenants+"---"+second, "-f", "-"), "---\n")
	if len(documents) != 4 {
		t.Fatalf("%d documents:\n%s", len(documents), documents)
	}
	for i, name := range []string{"bulkhead-tenants", "bulkhead-second"} {
		var p admissionregistrationv1.ValidatingAdmissionPolicy
		var b admissionregistrationv1.ValidatingAdmissionPolicyBinding
		if err := errors.Join(yaml.UnmarshalStrict([]byte(documents[2*i]), &p), yaml.UnmarshalStrict([]byte(documents[2*i+1]), &b)); err != nil {
			t.Fatal(err)
		}
		if p.Name != name || p.Kind != "ValidatingAdmissionPolicy" || b.Name != name || b.Kind != "ValidatingAdmissionPolicyBinding" || b.Spec.PolicyName != name {
			t.Errorf("policy %s %s, binding %s %s of %s", p.Kind, p.Name, b.Kind, b.Name, b.Spec.PolicyName)
		}
		if n := p.Spec.MatchConstraints.NamespaceSelector; metav1.FormatLabelSelector(n) != "kubernetes.io/metadata.name notin (bulkhead-system,kube-system)" {
			t.Errorf("namespaces %s", metav1.FormatLabelSelector(n))
		}
	}
}

// What is in a cluster belongs to the policy there. What is printed must not: where that policy does
// not exist, the garbage collector would delete it.
func TestWhatIsPrintedBelongsToNobody(t *testing.T) {
	out := succeed(t, tenants, "-f", "-")
	for _, unwanted := range []string{"ownerReferences", "bulkhead-manager", "1111", "status", "null", "bulkhead.dev/generation"} {
		if strings.Contains(out, unwanted) {
			t.Errorf("%q in:\n%s", unwanted, out)
		}
	}
}

func TestPrintsAListInJSON(t *testing.T) {
	var list struct {
		APIVersion, Kind string
		Items            []admissionregistrationv1.ValidatingAdmissionPolicy
	}
	if err := json.Unmarshal([]byte(succeed(t, tenants, "-f", "-", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "List" || list.APIVersion != "v1" || len(list.Items) != 2 || list.Items[0].Spec.Validations == nil {
		t.Errorf("%+v", list)
	}
}

func TestNamespacesToLeaveAloneCanBeChosen(t *testing.T) {
	if out := succeed(t, tenants, "-f", "-", "--excluded-namespaces", "here,there"); !strings.Contains(out, "- here\n") || strings.Contains(out, "kube-system") {
		t.Error(out)
	}
	if out := succeed(t, tenants, "-f", "-", "--excluded-namespaces="); strings.Contains(out, "NotIn") {
		t.Error(out)
	}
}

// Loaded by the API server's own loader.
func TestStaticManifestsAreWhatAnAPIServerLoads(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bulkhead.yaml"), []byte(succeed(t, tenants+"---"+second, "-f", "-", "--static")), 0o600); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := admissionregistrationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	policies, bindings, _, err := policyloader.LoadPolicyManifests(dir, serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(),
		accept[*admissionregistrationv1.ValidatingAdmissionPolicy], accept[*admissionregistrationv1.ValidatingAdmissionPolicyBinding],
		func(b *admissionregistrationv1.ValidatingAdmissionPolicyBinding) string { return b.Spec.PolicyName })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range policies {
		names = append(names, p.Name)
	}
	if want := []string{"bulkhead-second.static.k8s.io", "bulkhead-tenants.static.k8s.io"}; !slices.Equal(names, want) || len(bindings) != 2 {
		t.Errorf("policies %v, %d bindings", names, len(bindings))
	}
}

func accept[T any](o runtime.Object) ([]T, error) {
	if one, ok := o.(T); ok {
		return []T{one}, nil
	}
	return nil, policyloader.ErrUnrecognizedType
}

func TestWrongCallsAndInputAreExplained(t *testing.T) {
	var long strings.Builder
	for i := range 64 {
		long.WriteString("{pathPrefix: /" + strings.Repeat("a", 1000) + string(rune('a'+i%26)) + "},")
	}
	dear := "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: dear}\nspec: {admission: {action: Deny}, portals: {hostPaths: {allow: [" + long.String() + "]}}}"
	for name, c := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"no file":                    {"", nil, `"filename" not set`},
		"a format that is none":      {tenants, []string{"-f", "-", "-o", "table"}, `--output "table": it can be yaml or json`},
		"no policy in the input":     {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}", []string{"-f", "-"}, "holds no IsolationPolicy"},
		"a misspelt field":           {strings.Replace(tenants, "pid", "pdi", 1), []string{"-f", "-"}, "pdi"},
		"a file that does not exist": {"", []string{"-f", "/does/not/exist.yaml"}, "/does/not/exist.yaml"},
		"what cannot be paid for":    {dear, []string{"-f", "-"}, `IsolationPolicy "dear" cannot be compiled to a ValidatingAdmissionPolicy: spec.portals.hostPaths`},
		"one bad policy of two":      {tenants + "---" + strings.Replace(second, "Forbid", "Allow", 1), []string{"-f", "-"}, "nothing was compiled"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, err := run(c.stdin, c.args...)
			if err == nil || !strings.Contains(errOut+err.Error(), c.want) {
				t.Errorf("error %v\n%s", err, errOut)
			}
			var exited *exit.Error
			if len(c.args) > 0 && (!errors.As(err, &exited) || exited.Code != 2) {
				t.Errorf("exit code: %v", err)
			}
			if out != "" {
				t.Errorf("printed:\n%s", out)
			}
		})
	}
}
