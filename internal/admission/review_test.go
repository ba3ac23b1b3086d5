// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestARecordedReviewIsReadButForWhatIsLeftOut(t *testing.T) {
	g := NewWithT(t)
	body := recordedReview(t)
	var want struct{ Request struct{ Object corev1.Pod } }
	g.Expect(json.Unmarshal(body, &want)).To(Succeed())
	r, err := decodeReview[pod](body)
	g.Expect(err).NotTo(HaveOccurred())
	spec := want.Request.Object.Spec
	g.Expect(spec.Containers).To(HaveLen(2))
	leaveOut(&spec)
	g.Expect(r.Object.Spec.whole()).To(Equal(&spec))
	g.Expect(r.Object.Metadata.Labels).To(Equal(want.Request.Object.Labels))
	g.Expect(r.Object.Metadata.Annotations).To(Equal(want.Request.Object.Annotations))
	g.Expect(r.Namespace).To(Equal("default"))
	g.Expect(r.UserInfo.Username).To(Equal("admin"))
}

// leaveOut empties what says nothing about isolation.
func leaveOut(s *corev1.PodSpec) {
	s.Affinity, s.Tolerations, s.NodeSelector, s.TopologySpreadConstraints = nil, nil, nil, nil
	s.HostAliases, s.DNSConfig, s.ImagePullSecrets, s.Overhead, s.ReadinessGates, s.Resources = nil, nil, nil, nil, nil, nil
	leave := func(c *corev1.Container) {
		c.Args, c.Command, c.Env, c.EnvFrom, c.ResizePolicy, c.RestartPolicyRules, c.Resources = nil, nil, nil, nil, nil, nil, corev1.ResourceRequirements{}
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			leave(&list[i])
		}
	}
	for i := range s.EphemeralContainers {
		leave((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
	for i := range s.Volumes {
		v := &s.Volumes[i].VolumeSource
		v.Projected, v.ConfigMap, v.Secret, v.DownwardAPI, v.EmptyDir = nil, nil, nil, nil, nil
	}
}

// fill sets everything that a value holds, two elements in every list, as far down as types go once.
func fill(v reflect.Value, within map[reflect.Type]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if within[v.Type().Elem()] {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), within)
	case reflect.Struct:
		switch o := v.Addr().Interface().(type) {
		case *metav1.Time:
			o.Time = today
			return
		case *resource.Quantity:
			*o = resource.MustParse("7")
			return
		case *metav1.FieldsV1:
			o.SetRawBytes([]byte(`{}`))
			return
		case *intstr.IntOrString:
			*o = intstr.FromInt32(7)
			return
		}
		within = maps.Clone(within)
		within[v.Type()] = true
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), within)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), within)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, within)
		fill(value, within)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	}
}

func TestEveryOtherFieldOfAPodIsRead(t *testing.T) {
	g := NewWithT(t)
	var p corev1.Pod
	fill(reflect.ValueOf(&p.Spec).Elem(), map[reflect.Type]bool{})
	g.Expect(p.Spec.EphemeralContainers[1].Env).NotTo(BeEmpty())
	g.Expect(p.Spec.Containers[1].Lifecycle.PreStop.HTTPGet.Host).To(Equal("x"))
	r, err := decodeReview[pod](bodyOf(t, creation(t, &p)))
	g.Expect(err).NotTo(HaveOccurred())
	want := p.Spec.DeepCopy()
	leaveOut(want)
	g.Expect(equality.Semantic.DeepEqual(r.Object.Spec.whole(), want)).To(BeTrue(), cmp.Diff(want, r.Object.Spec.whole()))
}

func TestOfAListThatIsTooLongToBeJudgedTheBeginningIsReadAndNoMore(t *testing.T) {
	g := NewWithT(t)
	var p corev1.Pod
	p.Spec.InitContainers = make([]corev1.Container, 2000)
	p.Spec.Containers = make([]corev1.Container, isolation.MaxListed)
	p.Spec.Containers[0].Ports = make([]corev1.ContainerPort, 2000)
	p.Spec.Containers[0].Name = "first"
	r, err := decodeReview[pod](bodyOf(t, creation(t, &p)))
	g.Expect(err).NotTo(HaveOccurred())
	spec := r.Object.Spec.whole()
	g.Expect(spec.InitContainers).To(HaveLen(isolation.MaxListed + 1))
	g.Expect(spec.Containers).To(HaveLen(isolation.MaxListed))
	g.Expect(spec.Containers[0].Ports).To(HaveLen(isolation.MaxListed + 1))
	g.Expect(spec.Containers[0].Name).To(Equal("first"))
}
