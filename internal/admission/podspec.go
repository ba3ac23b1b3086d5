// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// podSpec decodes a [corev1.PodSpec] without what says nothing about isolation, which is most of it
// and dear to decode. What is left out is named, not what is read: a field that a later check reads,
// or that a later API brings, is there. A field hides one of its name that is embedded.
type podSpec struct {
	corev1.PodSpec
	InitContainers      few[container]          `json:"initContainers"`
	Containers          few[container]          `json:"containers"`
	EphemeralContainers few[ephemeralContainer] `json:"ephemeralContainers"`
	Volumes             few[volume]             `json:"volumes"`

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
	Ports           few[corev1.ContainerPort] `json:"ports"`
	SecurityContext *securityContext          `json:"securityContext"`
	VolumeMounts    few[corev1.VolumeMount]   `json:"volumeMounts"`
	VolumeDevices   few[corev1.VolumeDevice]  `json:"volumeDevices"`

	Args               leftOut `json:"args"`
	Command            leftOut `json:"command"`
	Env                leftOut `json:"env"`
	EnvFrom            leftOut `json:"envFrom"`
	ResizePolicy       leftOut `json:"resizePolicy"`
	Resources          leftOut `json:"resources"`
	RestartPolicyRules leftOut `json:"restartPolicyRules"`
}

type securityContext struct {
	corev1.SecurityContext
	Capabilities *struct {
		Add  few[corev1.Capability] `json:"add"`
		Drop few[corev1.Capability] `json:"drop"`
	} `json:"capabilities"`
}

type ephemeralContainer struct {
	container
	TargetContainerName string `json:"targetContainerName"`
}

type volume struct {
	corev1.Volume

	ConfigMap   leftOut `json:"configMap"`
	DownwardAPI leftOut `json:"downwardAPI"`
	EmptyDir    leftOut `json:"emptyDir"`
	Projected   leftOut `json:"projected"`
	Secret      leftOut `json:"secret"`
}

// few is a list of which no more is decoded than it takes to see that it is too long to be judged
// ([isolation.MaxListed]): an element takes three bytes of a review, and hundreds in memory.
type few[T any] []T

// UnmarshalJSONFrom decodes the beginning of the list, and skips the rest.
func (f *few[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != jsontext.KindBeginArray {
		return json.UnmarshalDecode(d, (*[]T)(f)) // null, or an error that tells what is there
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	list := make([]T, 0, 4) // most have no more
	for d.PeekKind() != jsontext.KindEndArray {
		if len(list) > isolation.MaxListed {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		var zero T
		list = append(list, zero)
		if err := json.UnmarshalDecode(d, &list[len(list)-1]); err != nil {
			return err
		}
	}
	*f = list
	_, err := d.ReadToken()
	return err
}

// leftOut is any value, which is not decoded.
type leftOut struct{}

// UnmarshalJSONFrom skips the value.
func (*leftOut) UnmarshalJSONFrom(d *jsontext.Decoder) error { return d.SkipValue() }

// whole is the spec as the core reads it.
func (s *podSpec) whole() *corev1.PodSpec {
	s.PodSpec.InitContainers = each(s.InitContainers, (*container).whole)
	s.PodSpec.Containers = each(s.Containers, (*container).whole)
	s.PodSpec.EphemeralContainers = each(s.EphemeralContainers, (*ephemeralContainer).whole)
	s.PodSpec.Volumes = each(s.Volumes, func(v *volume) corev1.Volume { return v.Volume })
	return &s.PodSpec
}

func (c *container) whole() corev1.Container {
	c.Container.Ports, c.Container.VolumeMounts, c.Container.VolumeDevices = c.Ports, c.VolumeMounts, c.VolumeDevices
	if c.SecurityContext != nil {
		c.Container.SecurityContext = &c.SecurityContext.SecurityContext
		if all := c.SecurityContext.Capabilities; all != nil {
			c.Container.SecurityContext.Capabilities = &corev1.Capabilities{Add: all.Add, Drop: all.Drop}
		}
	}
	return c.Container
}

func (e *ephemeralContainer) whole() corev1.EphemeralContainer {
	return corev1.EphemeralContainer{
		// The API keeps the two types field by field alike for this conversion.
		EphemeralContainerCommon: corev1.EphemeralContainerCommon(e.container.whole()),
		TargetContainerName:      e.TargetContainerName,
	}
}

func each[From, To any](list few[From], whole func(*From) To) []To {
	if list == nil {
		return nil
	}
	out := make([]To, len(list))
	for i := range list {
		out[i] = whole(&list[i])
	}
	return out
}
