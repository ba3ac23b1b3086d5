// SPDX-License-Identifier: Apache-2.0

// Package schema tests the CustomResourceDefinitions through a real API server: every limit at its
// boundary, every CEL rule with the message that a person reads, every default.
package schema

import (
	"context"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/apiserver"
)

var cluster client.Client

func TestSchema(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "config/crd")
}

var _ = BeforeSuite(func() {
	server, err := apiserver.Start(apiserver.CRDs)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	cluster = server.Client
})

// policy is an IsolationPolicy with the spec that is given in YAML. It is untyped: what Go's types
// would leave out reaches the API server.
func policy(name, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("IsolationPolicy"))
	o.SetName(name)
	content := map[string]any{}
	Expect(yaml.Unmarshal([]byte(spec), &content)).To(Succeed())
	o.Object["spec"] = content
	return o
}

// create asks the API server to create the object, as `kubectl create --dry-run=server` does: an
// unknown field is an error.
func create(ctx context.Context, o client.Object) error {
	return cluster.Create(ctx, o, client.DryRunAll, client.FieldValidation("Strict"))
}

// spec is a valid policy with the fields given in YAML in addition.
func spec(fields string) string {
	return "admission: {action: Deny}\n" + fields
}

// exempting is a valid policy with an exemption of these fields, each in place of the valid one.
func exempting(fields ...string) string {
	exemption := []string{
		"name: node-exporter", "reason: reads host metrics", "namespaces: [monitoring]", "isolation: {pid: Host}",
	}
	for _, field := range fields {
		name, _, _ := strings.Cut(field, ":")
		replaced := false
		for i := range exemption {
			if strings.HasPrefix(exemption[i], name+":") {
				exemption[i], replaced = field, true
			}
		}
		if !replaced {
			exemption = append(exemption, field)
		}
	}
	return spec("isolation: {pid: Pod}\nexemptions: [{" + strings.Join(exemption, ", ") + "}]")
}

// repeated is a YAML list of n items, each made with its number.
func repeated(n int, item string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item
		if strings.Contains(item, "%") {
			items[i] = fmt.Sprintf(item, i)
		}
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// long is a text of n characters.
func long(n int) string { return strings.Repeat("a", n) }
