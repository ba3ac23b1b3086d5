// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of Bulkhead: what people demand ([IsolationPolicy]) and what the
// nodes' kernels show ([NodeIsolationReport]).
//
// +kubebuilder:object:generate=true
// +groupName=bulkhead.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group.
const Group = "bulkhead.dev"

// GroupVersion names this API group and version.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme makes the types of this package known to a scheme. It cannot fail.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&IsolationPolicy{}, &IsolationPolicyList{},
		&NodeIsolationReport{}, &NodeIsolationReportList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
