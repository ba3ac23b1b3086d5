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

// policies are the ten policies. Those of the webhook have one selector, so the API server asks it once
// about a pod: it would ask once per selector.
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

// few is how many of the policies match in the case of few: the first, which say what most clusters
// begin with.
const few = 3

// heldByWebhook are the policies as the manager holds them.
func heldByWebhook() []v1alpha1.IsolationPolicy {
	return held(v1alpha1.EngineWebhook, func(int) *metav1.LabelSelector { return labelled(caseWebhook) })
}

// heldByVAP are the policies as the API server holds them.
func heldByVAP() []v1alpha1.IsolationPolicy {
	return held(v1alpha1.EngineValidatingAdmissionPolicy, func(i int) *metav1.LabelSelector {
		if i >= few {
			return labelled(caseVAP)
		}
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: engineLabel, Operator: metav1.LabelSelectorOpIn, Values: []string{namespaces[caseVAP], namespaces[caseFew]},
		}}}
	})
}

func labelled(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{engineLabel: namespaces[name]}}
}

func held(engine v1alpha1.AdmissionEngine, where func(i int) *metav1.LabelSelector) []v1alpha1.IsolationPolicy {
	all := policies()
	for i := range all {
		all[i].Spec.Admission.Engine = engine
		all[i].Spec.Match = &v1alpha1.PolicyMatch{NamespaceSelector: where(i)}
	}
	return all
}
