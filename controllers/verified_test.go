// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func TestVerified(t *testing.T) {
	pending := running("pending", time.Hour)
	pending.Status.Phase, pending.Status.ContainerStatuses = corev1.PodPending, nil
	asking := running("asking", time.Hour)
	asking.Spec.HostPID = true
	old, young := running("old", time.Minute), running("young", time.Minute-time.Second)
	for name, test := range map[string]struct {
		pods     []corev1.Pod
		isolated []string
		onHost   []string
		status   metav1.ConditionStatus
		reason   string
		message  string
	}{
		"no pods": {nil, nil, nil, metav1.ConditionTrue, v1alpha1.ReasonNoPods, "matches no pod"},
		"an old pod that was observed": {
			[]corev1.Pod{old}, []string{"old"}, nil, metav1.ConditionTrue, v1alpha1.ReasonObserved, "1 of 1 pods"},
		"an old pod that was not": {
			[]corev1.Pod{old}, nil, nil, metav1.ConditionFalse, v1alpha1.ReasonUnverified,
			"1 of 1 pods were not observed as required: shop/old (the agent of node one has not seen it)"},
		"an old pod that breaches beside one that was not observed": {
			[]corev1.Pod{running("a", time.Hour), running("b", time.Hour), old}, []string{"old"}, []string{"b"},
			metav1.ConditionFalse, v1alpha1.ReasonBreached,
			"2 of 3 pods were not observed as required: shop/b (pid was observed as Host, Container is required); shop/a"},
		"a young pod that was not observed yet, beside an old one that was": {
			[]corev1.Pod{old, young}, []string{"old"}, nil, metav1.ConditionTrue, v1alpha1.ReasonObserved, "1 of 1 pods"},
		"a young pod that breaches, beside an old one that does not": {
			[]corev1.Pod{old, young}, []string{"old"}, []string{"young"}, metav1.ConditionFalse, v1alpha1.ReasonBreached, "1 of 2 pods were not observed as required: shop/young"},
		"a young pod alone that was not observed yet": {
			[]corev1.Pod{young}, nil, nil, metav1.ConditionUnknown, v1alpha1.ReasonLooking, "0 of 1 pods"},
		"a young pod alone that was observed already": {
			[]corev1.Pod{young}, []string{"young"}, nil, metav1.ConditionTrue, v1alpha1.ReasonObserved, "within their first minute"},
		"two young pods of which one was observed": {
			[]corev1.Pod{young, running("younger", 0)}, []string{"young"}, nil, metav1.ConditionUnknown, v1alpha1.ReasonLooking, "1 of 2 pods"},
		"pods that do not run yet": {
			[]corev1.Pod{pending}, nil, nil, metav1.ConditionUnknown, v1alpha1.ReasonLooking, "no pod that the policy matches is running yet"},
		"a pod that does not run yet, beside an old one that was observed": {
			[]corev1.Pod{pending, old}, []string{"old"}, nil, metav1.ConditionTrue, v1alpha1.ReasonObserved, "1 of 1 pods"},
		"a pod that asks for less and was observed with enough": {
			[]corev1.Pod{asking}, []string{"asking"}, nil, metav1.ConditionTrue, v1alpha1.ReasonObserved, "1 of 1 pods"},
		"more bad pods than are named": {
			[]corev1.Pod{running("a", time.Hour), running("b", time.Hour), running("c", time.Hour), running("d", time.Hour), running("e", time.Hour)},
			nil, nil, metav1.ConditionFalse, v1alpha1.ReasonUnverified, "and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			in := world()
			in.Pods = test.pods
			in.Reports["one"] = report("one", group(isolated, test.isolated...), group(onHostPID(), test.onHost...))
			c := meta.FindStatusCondition(judgeOne(in, demanding("all")).status.Conditions, v1alpha1.ConditionVerified)
			g.Expect(*c).To(SatisfyAll(
				HaveField("Status", test.status), HaveField("Reason", test.reason), HaveField("Message", ContainSubstring(test.message)),
				HaveField("ObservedGeneration", BeEquivalentTo(1))))
		})
	}
}
