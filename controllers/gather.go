// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// input is what policies are judged by at one moment, beside the books on pods. It is read only: the
// objects in it are the cache's own.
type input struct {
	Now      time.Time
	Policies []v1alpha1.IsolationPolicy
	// Endpoints are what is ready behind the webhook's Service, each once, in order.
	Endpoints []endpoint
	// Replicas are what the manager's replicas say they serve, by the pod's name.
	Replicas map[string]replica
	// Configuration as it stands; nil if there is none.
	Configuration *admissionregistrationv1.ValidatingWebhookConfiguration
	// Generated is what stands for the engine ValidatingAdmissionPolicy, by name.
	Generated map[string]generated
	// Products are what policies of that engine were compiled to, by the policy's UID.
	Products map[types.UID]product
	// Evictions are the conditions EvictionReady, by the policy's UID.
	Evictions map[types.UID]metav1.Condition
	// Name of what a policy is compiled to.
	Name func(*v1alpha1.IsolationPolicy) string
}

func (in *input) name(p *v1alpha1.IsolationPolicy) string {
	if in.Name == nil {
		return ""
	}
	return in.Name(p)
}

// compileAll adds what the policies were compiled to.
func (in *input) compileAll(c *compiler) {
	in.Name = c.name
	in.Products = make(map[types.UID]product)
	for i := range in.Policies {
		if p := &in.Policies[i]; p.Spec.Admission.Engine == v1alpha1.EngineValidatingAdmissionPolicy {
			in.Products[p.UID] = c.of(p)
		}
	}
}

// endpoint is a ready endpoint of the webhook's Service.
type endpoint struct {
	// Pod that is behind it; empty if none is named.
	Pod string
	// Address, to name it where there is no pod.
	Address string
}

func (e endpoint) String() string {
	if e.Pod != "" {
		return e.Pod
	}
	return e.Address
}

// replica is what a manager says on its Lease.
type replica struct {
	Renewed time.Time
	// Served is nil if it does not say, or what it says cannot be read.
	Served v1alpha1.Served
}

// gather reads everything from the cache.
func gather(ctx context.Context, c client.Reader, namespace string, now time.Time) (*input, error) {
	in := &input{Now: now}
	var policies v1alpha1.IsolationPolicyList
	if err := c.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("list IsolationPolicies: %w", err)
	}
	in.Policies = policies.Items
	return in, gatherInstallation(ctx, c, namespace, in)
}

// gatherInstallation reads what the parts of the installation say of themselves.
func gatherInstallation(ctx context.Context, c client.Reader, namespace string, in *input) error {
	here, shared := client.InNamespace(namespace), client.UnsafeDisableDeepCopy
	var leases coordinationv1.LeaseList
	if err := c.List(ctx, &leases, here, client.MatchingLabels{v1alpha1.LabelLease: v1alpha1.LeaseWebhook}, shared); err != nil {
		return fmt.Errorf("list Leases in namespace %q: %w", namespace, err)
	}
	in.readLeases(leases.Items)
	var slices discoveryv1.EndpointSliceList
	service := client.MatchingLabels{discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName}
	if err := c.List(ctx, &slices, here, service, shared); err != nil {
		return fmt.Errorf("list EndpointSlices of Service %q in namespace %q: %w", v1alpha1.WebhookServiceName, namespace, err)
	}
	in.Endpoints = readyEndpoints(slices.Items)
	var configuration admissionregistrationv1.ValidatingWebhookConfiguration
	err := c.Get(ctx, client.ObjectKey{Name: v1alpha1.WebhookConfigurationName}, &configuration)
	switch {
	case err == nil:
		in.Configuration = &configuration
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read ValidatingWebhookConfiguration %q: %w", v1alpha1.WebhookConfigurationName, err)
	}
	in.Generated, err = gatherGenerated(ctx, c)
	return err
}

// readLeases takes what the replicas say on theirs.
func (in *input) readLeases(leases []coordinationv1.Lease) {
	in.Replicas = make(map[string]replica)
	for i := range leases {
		l := &leases[i]
		if pod, ok := replicaName(l.Name); ok {
			// What cannot be read serves nothing.
			served, _ := v1alpha1.ParseServed(l.Annotations[v1alpha1.AnnotationServed])
			in.Replicas[pod] = replica{Renewed: renewed(l), Served: served}
		}
	}
}

// replicaName is the pod that a replica's Lease speaks for.
func replicaName(lease string) (pod string, ok bool) {
	const prefix = v1alpha1.WebhookLeasePrefix
	if len(lease) <= len(prefix) || lease[:len(prefix)] != prefix {
		return "", false
	}
	return lease[len(prefix):], true
}

// renewed is when the holder last said that it is alive; zero if never.
func renewed(l *coordinationv1.Lease) time.Time {
	if l.Spec.RenewTime == nil {
		return time.Time{}
	}
	return l.Spec.RenewTime.Time
}

// readyEndpoints are the ready ones of all slices, each pod once: a Service of two address families
// has a slice for each. An endpoint whose readiness is not known is ready (EndpointConditions).
func readyEndpoints(all []discoveryv1.EndpointSlice) []endpoint {
	var out []endpoint
	for i := range all {
		for j := range all[i].Endpoints {
			e := &all[i].Endpoints[j]
			if !ptr.Deref(e.Conditions.Ready, true) {
				continue
			}
			var found endpoint
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				found.Pod = e.TargetRef.Name
			} else if len(e.Addresses) > 0 {
				found.Address = e.Addresses[0]
			}
			if !slices.Contains(out, found) {
				out = append(out, found)
			}
		}
	}
	slices.SortFunc(out, func(a, b endpoint) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	return out
}
