// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// exempting is a policy with exemptions from pid Container: by what they are called, in order.
func exempting(exemptions ...v1alpha1.Exemption) v1alpha1.IsolationPolicy {
	p := demanding("all")
	for _, e := range exemptions {
		e.Reason, e.Isolation = "r", &v1alpha1.Isolation{PID: "Host"}
		p.Spec.Exemptions = append(p.Spec.Exemptions, e)
	}
	return p
}

func until(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

func TestExemptionsAreInUseUnusedOrExpired(t *testing.T) {
	g := NewWithT(t)
	in := world()
	asks, has, neither, ended := running("asks", time.Hour), running("has", time.Hour), running("neither", time.Hour), running("ended", time.Hour)
	asks.Spec.HostPID, ended.Spec.HostPID = true, true
	ended.Status.Phase = corev1.PodSucceeded
	in.Pods = []corev1.Pod{asks, has, neither, ended}
	in.Reports["one"] = report("one", group(isolated, "neither"), group(onHostPID(), "asks", "has"))

	p := exempting(
		v1alpha1.Exemption{Name: "unused", Namespaces: []string{"lab"}},
		v1alpha1.Exemption{Name: "used", Namespaces: []string{"shop"}},
		v1alpha1.Exemption{Name: "expired-unused", Namespaces: []string{"shop"}, Expires: until(now.Add(-2 * time.Hour))},
	)
	g.Expect(judgeOne(in, p).status.Exemptions).To(Equal([]v1alpha1.ExemptionStatus{
		{Name: "unused", State: v1alpha1.ExemptionUnused},
		{Name: "used", State: v1alpha1.ExemptionInUse, Pods: 2},
		{Name: "expired-unused", State: v1alpha1.ExemptionExpired},
	}))
	p = exempting(v1alpha1.Exemption{Name: "expired-used", Namespaces: []string{"shop"}, Expires: until(now.Add(-time.Minute))})
	g.Expect(judgeOne(in, p).status.Exemptions).To(Equal([]v1alpha1.ExemptionStatus{
		{Name: "expired-used", State: v1alpha1.ExemptionExpired, Pods: 2},
	}), "pods that are older than its end are still covered")
}

func TestTheEndOfAnExemptionIsWaitedForAndToldOnce(t *testing.T) {
	s := newStory(t)
	end := now.Add(time.Minute)
	s.policy = exempting(
		v1alpha1.Exemption{Name: "ends", Namespaces: []string{"shop"}, Expires: until(end)},
		v1alpha1.Exemption{Name: "ended-before", Namespaces: []string{"shop"}, Expires: until(now)},
	)
	told := func() []string {
		v := judgeOne(s.in, s.policy)
		all := announce(v, s.in.Ledger(s.in.Now, s.policy), nil, "").out
		s.policy.Status = v.status
		out := []string{}
		for _, a := range all {
			if a.reason == reasonExpired {
				s.Expect(a.regarding.Kind).To(Equal("IsolationPolicy"))
				out = append(out, a.note)
			}
		}
		return out
	}
	s.Expect(told()).To(BeEmpty(), "what had ended when it was first seen is no news")
	s.in.Policies = []v1alpha1.IsolationPolicy{s.policy}
	s.Expect(s.in.judge().next).To(BeTemporally("==", end))
	s.in.Now = end.Add(-time.Nanosecond)
	s.Expect(told()).To(BeEmpty())
	s.in.Now = end
	s.Expect(told()).To(ConsistOf(HavePrefix("exemption ends has expired")))
	s.Expect(told()).To(BeEmpty())
}
