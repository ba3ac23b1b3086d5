// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

func TestPodsThatAreGoneAreForgottenThoughNoPolicyAsks(t *testing.T) {
	l := New(now)
	for i := range 1000 {
		name := fmt.Sprintf("job-%d", i)
		l.SetPod(&Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}, Spec: &corev1.PodSpec{}})
		l.DeletePod(types.NamespacedName{Namespace: "shop", Name: name})
	}
	NewWithT(t).Expect(len(l.joined) + len(l.ordered)).To(BeNumerically("<=", fewGone))
}

func TestAlarmsOfAnAgentWithAHostileClockAreBounded(t *testing.T) {
	g := NewWithT(t)
	l := New(now)
	l.SetReport("one", &v1alpha1.NodeIsolationReport{})
	for i := range 1000 {
		l.SetAgent("one", now.AddDate(1000, 0, -i))
	}
	g.Expect(len(l.alarms.set)).To(BeNumerically("<=", 2))
	l.Advance(l.Next())
	g.Expect(len(l.alarms.set)).To(BeNumerically("<=", 2), "it is looked at again, and again")
}
