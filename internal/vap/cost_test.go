// SPDX-License-Identifier: Apache-2.0

package vap_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// largest is everything, with as long lists as are accepted.
func largest(tb testing.TB) *v1alpha1.IsolationPolicy {
	tb.Helper()
	p := policy(tb, everything)
	portals := p.Spec.Portals
	portals.HostPaths.Allow, portals.HostPorts.Allow, portals.Capabilities.Forbid = nil, nil, nil
	for i := range 64 {
		portals.HostPaths.Allow = append(portals.HostPaths.Allow, v1alpha1.AllowedHostPath{
			PathPrefix: fmt.Sprintf("/srv/%0115d", i), ReadOnly: i%2 == 1,
		})
		portals.HostPorts.Allow = append(portals.HostPorts.Allow, v1alpha1.PortRange{From: int32(1000 + 10*i), To: int32(1001 + 10*i)})
		portals.Capabilities.Forbid = append(portals.Capabilities.Forbid, v1alpha1.Capability(fmt.Sprintf("CAP_%060d", i)))
	}
	return p
}

// largePod has so many containers, each made by its number.
func largePod(n int, container func(i int, c *corev1.Container)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "large", Namespace: "shop", CreationTimestamp: metav1.NewTime(noon)}}
	p.Spec.HostUsers = ptr.To(false)
	for i := range n {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i)}
		container(i, &c)
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return p
}

func bare(int, *corev1.Container) {}

func privileged(_ int, c *corev1.Container) {
	c.SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
}

// withPorts gives each container n of the last ports that are allowed.
func withPorts(n int) func(int, *corev1.Container) {
	return func(_ int, c *corev1.Container) {
		for j := range n {
			c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: int32(j + 1), HostPort: 1631})
		}
	}
}

// adding gives each container n capabilities that are allowed.
func adding(n int) func(int, *corev1.Container) {
	return func(_ int, c *corev1.Container) {
		c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{}}
		for j := range n {
			c.SecurityContext.Capabilities.Add = append(c.SecurityContext.Capabilities.Add, corev1.Capability(fmt.Sprintf("NET_%d", j)))
		}
	}
}

// mounting gives each container n read-only mounts.
func mounting(n int) func(int, *corev1.Container) {
	return func(_ int, c *corev1.Container) {
		for j := range n {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("v%d", j), MountPath: fmt.Sprintf("/m%d", j), ReadOnly: true})
		}
	}
}

// withHostPaths adds n volumes of that path.
func withHostPaths(p *corev1.Pod, n int, path string) *corev1.Pod {
	for i := range n {
		v := corev1.Volume{Name: fmt.Sprintf("v%d", i)}
		v.HostPath = &corev1.HostPathVolumeSource{Path: path}
		p.Spec.Volumes = append(p.Spec.Volumes, v)
	}
	return p
}

// What fits into the API server's budget, and what becomes of what does not. The pods are judged by
// the largest policy.
func TestCostOfLargePods(t *testing.T) {
	if withRaceDetector {
		t.Skip("it takes minutes with the race detector, which has nothing to see here: make test runs it without as well")
	}
	const allowed = "/srv/0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000063/x"
	const tooMany = isolation.TooLarge
	hostPID := func(p *corev1.Pod) *corev1.Pod { p.Spec.HostPID = true; return p }
	for name, c := range map[string]struct {
		pod *corev1.Pod
		// refused is part of the message; empty if the pod is admitted.
		refused string
		// tooDear is set if the API server gives up, and refuses what is to be denied.
		tooDear bool
	}{
		"500 containers that ask for nothing":             {largePod(500, bare), "", false},
		"500 volumes, none of the node":                   {withVolumes(largePod(1, bare), 500), "", false},
		"500 mounts of one container":                     {largePod(1, mounting(500)), "", false},
		"500 containers, all privileged":                  {largePod(500, privileged), "; ... and ", false},
		"500 host ports":                                  {largePod(1, withPorts(500)), "", false},
		"2,000 host ports":                                {largePod(500, withPorts(4)), "", false},
		"500 added capabilities":                          {largePod(1, adding(500)), "", false},
		"2,000 added capabilities":                        {largePod(500, adding(4)), "", false},
		"500 host paths, each mounted read-only":          {withHostPaths(largePod(1, mounting(500)), 500, allowed), "", false},
		"500 host paths and 500 containers that mount 10": {withHostPaths(largePod(500, mounting(10)), 500, allowed), "", false},
		"a host path that is not clean, of 4,096 bytes":   {withHostPaths(largePod(1, bare), 1, "/"+strings.Repeat("//x", 1365)), "hostPaths: ", false},
		"a host path of a million bytes":                  {withHostPaths(largePod(1, bare), 1, strings.Repeat("/x", 500_000)), "hostPaths: ", false},

		"10,000 containers that ask for nothing": {largePod(10_000, bare), tooMany, false},
		"32,000 volumes, none of the node":       {withVolumes(largePod(1, bare), 32_000), tooMany, false},
		"501 containers that ask for something":  {hostPID(largePod(501, bare)), tooMany, false},
		"501 host paths":                         {withHostPaths(largePod(1, bare), 501, "/srv"), tooMany, false},
		"501 host ports of one container":        {largePod(1, withPorts(501)), tooMany, false},
		"501 capabilities of one container":      {largePod(1, adding(501)), tooMany, false},
		"12,000 mounts beside a host path":       {withHostPaths(largePod(30, mounting(400)), 1, allowed), tooMany, false},
		"501 mounts of one container":            {largePod(1, mounting(501)), tooMany, false},
		"30,000 mounts of one container":         {largePod(1, mounting(30_000)), tooMany, false},
		"501 mounts beside a host path":          {withHostPaths(largePod(1, mounting(501)), 1, allowed), tooMany, false},

		"50,000 added capabilities": {largePod(500, adding(100)), tooMany, false},
		"50,000 host ports":         {largePod(500, withPorts(100)), tooMany, false},

		"10,000 added capabilities": {largePod(500, adding(20)), "cost limit exceeded", true},
		"10,000 host ports":         {largePod(500, withPorts(20)), "cost limit exceeded", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEvaluator(t, largest(t))
			r := &request{pod: c.pod}
			a := e.judge(r)
			if a.allowed != (c.refused == "") || a.broken != c.tooDear || !strings.Contains(a.message, c.refused) {
				t.Errorf("admitted: %t, broken: %t, message: %s", a.allowed, a.broken, a.message)
			}
			core, err := isolation.Compile(largest(t))
			if err != nil {
				t.Fatal(err)
			}
			if wrong := core.Judge(isolation.NewSubject(c.pod, nil)).Violations; !c.tooDear && (len(wrong) > 0) != (c.refused != "") {
				t.Errorf("the core finds %d violations", len(wrong))
			}
			if !c.tooDear {
				t.Logf("%d bytes in etcd without metadata: cost %d of %d", c.pod.Size(), e.cost(t, r), celconfig.RuntimeCELCostBudget)
			}
		})
	}
}

// What cannot be judged is admitted untold where it would have been admitted anyway.
func TestWhatCannotBeJudgedIsNotRefusedByAPolicyThatOnlyWarns(t *testing.T) {
	for _, action := range []v1alpha1.AdmissionAction{v1alpha1.Warn, v1alpha1.Audit} {
		p := largest(t)
		p.Spec.Admission.Action = action
		if a := newEvaluator(t, p).judge(&request{pod: largePod(500, adding(20))}); !a.allowed || !a.broken {
			t.Errorf("%s: admitted: %t, broken: %t, message: %s", action, a.allowed, a.broken, a.message)
		}
	}
}

func withVolumes(p *corev1.Pod, n int) *corev1.Pod {
	for i := range n {
		v := corev1.Volume{Name: fmt.Sprintf("v%d", i)}
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		p.Spec.Volumes = append(p.Spec.Volumes, v)
	}
	return p
}

// cost is what validation and message cost together; they share a budget.
func (e *evaluator) cost(tb testing.TB, r *request) int64 {
	tb.Helper()
	attributes := r.attributes()
	admission := plugincel.CreateAdmissionRequest(attributes, metav1.GroupVersionResource(corev1.SchemeGroupVersion.WithResource("pods")),
		metav1.GroupVersionKind(attributes.VersionedKind))
	left := int64(celconfig.RuntimeCELCostBudget)
	for _, filter := range []plugincel.ConditionEvaluator{e.validation, e.messages} {
		var err error
		if _, left, err = filter.ForInput(context.Background(), attributes, admission, plugincel.OptionalVariableBindings{}, nil, left); err != nil {
			tb.Fatal(err)
		}
	}
	return celconfig.RuntimeCELCostBudget - left
}
