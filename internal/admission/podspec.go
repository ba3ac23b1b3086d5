// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
)

// podSpec decodes a [corev1.PodSpec] without what says nothing about isolation, which is most of it
// and dear to decode. What is left out is named, not what is read: a field that a later check reads,
// or that a later API brings, is there. A field hides one of its name that is embedded.
type podSpec struct {
	corev1.PodSpec
	InitContainers []container `json:"initContainers"`
	Containers     []container `json:"containers"`
	Volumes        []volume    `json:"volumes"`

	Affinity                  leftOut `json:"affinity"`
	DNSConfig                 leftOut `json:"dnsConfig"`
	HostAliases               leftOut `json:"hostAliases"`
	ImagePullSecrets          leftOut `json:"imagePullSecrets"`
	NodeSelector              leftOut `json:"nodeSelector"`
	Overhead                  leftOut `json:"overhead"`
	ReadinessGates            leftOut `json:"readinessGates"`
	Resources                 leftOut `json:"resources"`
	Tolerations               leftOut `json:"tolerations"`
	TopologySpreadConstraints leftOut `json:"topologySpreadConstraints"`
}

type container struct {
	corev1.Container

	Args         leftOut `json:"args"`
	Command      leftOut `json:"command"`
	Env          leftOut `json:"env"`
	EnvFrom      leftOut `json:"envFrom"`
	ResizePolicy leftOut `json:"resizePolicy"`
	Resources    leftOut `json:"resources"`
}

type volume struct {
	corev1.Volume

	ConfigMap   leftOut `json:"configMap"`
	DownwardAPI leftOut `json:"downwardAPI"`
	EmptyDir    leftOut `json:"emptyDir"`
	Projected   leftOut `json:"projected"`
	Secret      leftOut `json:"secret"`
}

// leftOut is any value, which is not decoded.
type leftOut struct{}

// UnmarshalJSONFrom skips the value.
func (*leftOut) UnmarshalJSONFrom(d *jsontext.Decoder) error { return d.SkipValue() }

// whole is the spec as the core reads it.
func (s *podSpec) whole() *corev1.PodSpec {
	s.PodSpec.InitContainers = containersOf(s.InitContainers)
	s.PodSpec.Containers = containersOf(s.Containers)
	if s.Volumes != nil {
		s.PodSpec.Volumes = make([]corev1.Volume, len(s.Volumes))
		for i := range s.Volumes {
			s.PodSpec.Volumes[i] = s.Volumes[i].Volume
		}
	}
	return &s.PodSpec
}

func containersOf(list []container) []corev1.Container {
	if list == nil {
		return nil
	}
	out := make([]corev1.Container, len(list))
	for i := range list {
		out[i] = list[i].Container
	}
	return out
}
