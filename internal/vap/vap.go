// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Options are what an installation decides.
type Options struct {
	// ExcludedNamespaces are names of namespaces whose pods are not judged at admission.
	ExcludedNamespaces []string
}

// Objects are what a policy is compiled to. Everything that an API server would fill in is filled
// in, so that they can be compared with what it stores.
type Objects struct {
	Policy  *admissionregistrationv1.ValidatingAdmissionPolicy
	Binding *admissionregistrationv1.ValidatingAdmissionPolicyBinding
}

// Name is the name of both objects of a policy. With its UID in it, a policy that is deleted and
// created again under the same name is never mistaken for the former.
func Name(p *v1alpha1.IsolationPolicy) string {
	name := "bulkhead-" + p.Name
	if p.UID != "" {
		name += "-" + string(p.UID)
	}
	return name
}

// Compile says a policy in CEL, whatever its engine. The error names the fields that are wrong, and
// those of which an API server would not take, or could not pay for, what they become.
func Compile(p *v1alpha1.IsolationPolicy, o Options) (*Objects, error) {
	if _, err := isolation.Compile(p); err != nil {
		return nil, err
	}
	c, err := newCompiler(p)
	if err != nil {
		return nil, fmt.Errorf("IsolationPolicy %q cannot be compiled to a ValidatingAdmissionPolicy: %w", isolation.Sanitize(p.Name, 253), err)
	}
	c.write()
	if err := c.withinLimits(); err != nil {
		return nil, fmt.Errorf("IsolationPolicy %q cannot be compiled to a ValidatingAdmissionPolicy: %w", isolation.Sanitize(p.Name, 253), err)
	}
	return &Objects{Policy: c.object(o), Binding: binding(p)}, nil
}
