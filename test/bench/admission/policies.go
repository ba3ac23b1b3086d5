// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"errors"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// policiesYAML are the ten policies, without a match.
//
//go:embed policies.yaml
var policiesYAML []byte

// engineLabel on a namespace selects which of the policies hold there.
const engineLabel = "bench.example/engine"

// policies are the ten policies, all of which match the namespaces of one engine. They have one
// selector, so the API server asks the webhook once about a pod: it would ask once per selector.
func policies() []v1alpha1.IsolationPolicy {
	var out []v1alpha1.IsolationPolicy
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(policiesYAML), 4096)
	for {
		var p v1alpha1.IsolationPolicy
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			panic("policies.yaml, which is compiled in: " + err.Error())
		}
		out = append(out, p)
	}
}

// held are the policies as one engine holds them.
func held(engine v1alpha1.AdmissionEngine, namespace string) []v1alpha1.IsolationPolicy {
	all := policies()
	for i := range all {
		all[i].Spec.Admission.Engine = engine
		all[i].Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{engineLabel: namespace},
		}}
	}
	return all
}
