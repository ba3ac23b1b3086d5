// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestHowAFindingStandsToWhatTheSpecPromised(t *testing.T) {
	plain := corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}
	onHost := corev1.PodSpec{HostPID: true, Containers: plain.Containers}
	privileged := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)}}}}
	debugged := corev1.PodSpec{Containers: plain.Containers, EphemeralContainers: []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug"}, TargetContainerName: "app"},
	}}
	for name, test := range map[string]struct {
		spec  corev1.PodSpec
		kind  v1alpha1.FindingKind
		axis  isolation.Axis
		level isolation.Level
		want  isolation.Promise
	}{
		"an escape to the node":                              {plain, v1alpha1.Escape, isolation.PID, isolation.Host, isolation.Broken},
		"less from the start":                                {plain, v1alpha1.Drift, isolation.Network, isolation.Host, isolation.Broken},
		"below, and the report does not say why":             {plain, v1alpha1.Breach, isolation.PID, isolation.Host, isolation.Broken},
		"the intruder":                                       {plain, v1alpha1.Foreign, isolation.Network, isolation.Foreign, isolation.Broken},
		"in another pod's namespace, and nobody is blamed":   {plain, v1alpha1.Breach, isolation.Network, isolation.Foreign, isolation.Unblamed},
		"the spec asks for the node's":                       {onHost, v1alpha1.Breach, isolation.PID, isolation.Host, isolation.AskedFor},
		"the spec shares with a debug container":             {debugged, v1alpha1.Breach, isolation.PID, isolation.Pod, isolation.AskedFor},
		"a debug container that escaped":                     {debugged, v1alpha1.Escape, isolation.PID, isolation.Host, isolation.Broken},
		"root is the node's root, and the spec says nothing": {plain, v1alpha1.Breach, isolation.User, isolation.Host, isolation.AskedFor},
		"the node's cgroup namespace, as on cgroup v1":       {plain, v1alpha1.Breach, isolation.Cgroup, isolation.Host, isolation.NeverMade},
		"the node's cgroup namespace for who is privileged":  {privileged, v1alpha1.Breach, isolation.Cgroup, isolation.Host, isolation.AskedFor},
		"time":                             {plain, v1alpha1.Breach, isolation.Time, isolation.Host, isolation.NeverMade},
		"a violation":                      {onHost, v1alpha1.Violation, isolation.PID, isolation.Host, isolation.NoBreach},
		"not verified":                     {plain, v1alpha1.Unverified, isolation.PID, isolation.Unknown, isolation.NoBreach},
		"a leak":                           {plain, v1alpha1.Leak, isolation.Mount, isolation.Container, isolation.Broken},
		"an opening that nobody asked for": {plain, v1alpha1.Portal, isolation.Mount, isolation.Container, isolation.Broken},
	} {
		t.Run(name, func(t *testing.T) {
			var observed isolation.Vector
			observed[test.axis] = test.level
			subject := isolation.NewSubject(&corev1.Pod{Spec: test.spec}, nil)
			f := &v1alpha1.PolicyFinding{Kind: test.kind, Axis: test.axis.API()}
			NewWithT(t).Expect(subject.PromiseOf(f, &observed)).To(Equal(test.want))
		})
	}
}
