// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// busy is 100 pods on each of so many nodes, and ten policies that match all of them.
func busy(nodes int) (ledgertest.Scene, []v1alpha1.IsolationPolicy) {
	s := ledgertest.World()
	for n := range nodes {
		node := fmt.Sprintf("node-%d", n)
		g := v1alpha1.ObservedGroup{Levels: ledgertest.Isolated, Inspected: true}
		for i := range 100 {
			pod := ledgertest.Running(fmt.Sprintf("pod-%d-%d", n, i), time.Hour)
			pod.Spec.NodeName = node
			s.Pods = append(s.Pods, pod)
			g.Pods = append(g.Pods, v1alpha1.ObservedPod{UID: pod.UID})
		}
		s.Reports[node], s.Agents[node] = ledgertest.Report(node, g), ledgertest.Now
	}
	var policies []v1alpha1.IsolationPolicy
	for i := range 10 {
		p := ledgertest.Demanding(fmt.Sprintf("policy-%d", i))
		p.UID = types.UID(p.Name)
		policies = append(policies, p)
	}
	return s, policies
}

// BenchmarkFromScratch is what a manager does that starts in a cluster of 10,000 pods.
func BenchmarkFromScratch(b *testing.B) {
	s, policies := busy(100)
	b.ReportAllocs()
	for b.Loop() {
		l := s.Ledger(ledgertest.Now, policies...)
		for i := range policies {
			l.Standing(policies[i].UID)
		}
	}
}

// BenchmarkOnePod is what one pod's change costs, from its news to ten true statuses, in clusters of
// different sizes.
func BenchmarkOnePod(b *testing.B) {
	for _, nodes := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("pods=%d", nodes*100), func(b *testing.B) {
			s, policies := busy(nodes)
			l := s.Ledger(ledgertest.Now, policies...)
			change := changing(&s, l, policies)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				change()
			}
		})
	}
}

// changing changes one pod, there and back, from its news to a status of every policy.
func changing(s *ledgertest.Scene, l *ledger.Ledger, policies []v1alpha1.IsolationPolicy) func() {
	one, other := s.Pods[0], s.Pods[0]
	other.Spec.HostPID = true
	states := []corev1.Pod{other, one}
	return func() {
		l.SetPod(ledger.Keep(states[0].DeepCopy()))
		for i := range policies {
			l.Standing(policies[i].UID)
		}
		states[0], states[1] = states[1], states[0]
	}
}

// Allocations stand for the work that is done: they do not depend on the machine.
func TestOnePodsChangeCostsTheSameInALargeClusterAsInASmallOne(t *testing.T) {
	if raced || testing.CoverMode() != "" {
		t.Skip("the race detector and coverage allocate as well: make test runs it without")
	}
	cost := func(nodes int) float64 {
		s, policies := busy(nodes)
		return testing.AllocsPerRun(100, changing(&s, s.Ledger(ledgertest.Now, policies...), policies))
	}
	if small, large := cost(5), cost(50); large != small {
		t.Errorf("%v allocations among 500 pods, %v among 5,000", small, large)
	}
}
