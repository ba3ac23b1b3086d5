// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestWhatIsTooLargeIsNotJudgedAndDoesNotPass(t *testing.T) {
	capabilities := func(n int) corev1.Container {
		add := make([]corev1.Capability, n)
		for i := range add {
			add[i] = "SYS_TIME"
		}
		return corev1.Container{SecurityContext: &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: add}}}
	}
	many := func(n int, c corev1.Container) []corev1.Container {
		out := make([]corev1.Container, n)
		for i := range out {
			out[i] = c
			out[i].Name = fmt.Sprintf("c%d", i)
		}
		return out
	}
	var empty corev1.Container
	p := policy(t, "portals: {capabilities: {forbid: [SYS_TIME]}}")
	for name, c := range map[string]struct {
		edit  func(*corev1.PodSpec)
		large bool
		wrong int
	}{
		"as many as there may be":         {func(s *corev1.PodSpec) { s.Containers = many(500, empty); s.Volumes = make([]corev1.Volume, 500) }, false, 0},
		"as many capabilities":            {func(s *corev1.PodSpec) { s.Containers = []corev1.Container{capabilities(500)} }, false, 500},
		"a capability more":               {func(s *corev1.PodSpec) { s.Containers = []corev1.Container{capabilities(501)} }, true, 1},
		"half a million capabilities":     {func(s *corev1.PodSpec) { s.Containers = []corev1.Container{capabilities(500_000)} }, true, 1},
		"capabilities in many containers": {func(s *corev1.PodSpec) { s.Containers = many(101, capabilities(100)) }, true, 1},
		"a container more":                {func(s *corev1.PodSpec) { s.Containers = many(501, empty) }, true, 1},
		"containers of two kinds":         {func(s *corev1.PodSpec) { s.Containers, s.InitContainers = many(250, empty), many(251, empty) }, true, 1},
		"a volume more":                   {func(s *corev1.PodSpec) { s.Volumes = make([]corev1.Volume, 501) }, true, 1},
		"a port more":                     {func(s *corev1.PodSpec) { s.Containers[0].Ports = make([]corev1.ContainerPort, 501) }, true, 1},
		"a mount more":                    {func(s *corev1.PodSpec) { s.Containers[0].VolumeMounts = make([]corev1.VolumeMount, 501) }, true, 1},
		"a device more of a debug container": {func(s *corev1.PodSpec) {
			s.EphemeralContainers = make([]corev1.EphemeralContainer, 1)
			s.EphemeralContainers[0].VolumeDevices = make([]corev1.VolumeDevice, 501)
		}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, "")
			c.edit(s.Spec)
			found := p.Judge(s).Violations
			if len(found) != c.wrong || c.large != (len(found) == 1 && found[0].Message == isolation.TooLarge) {
				t.Errorf("%d violations", len(found))
			}
		})
	}
	t.Run("and passes where nothing is demanded", func(t *testing.T) {
		s := subject(t, "")
		s.Spec.Containers = many(501, empty)
		expectMessages(t, policy(t, "{}").Judge(s))
	})
	t.Run("when a debug container is added only that one counts", func(t *testing.T) {
		s := subject(t, "")
		s.Spec.Containers = []corev1.Container{capabilities(500_000)}
		s.Debug = []string{"d"}
		s.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "d"}}}
		expectMessages(t, p.Judge(s))
	})
}
