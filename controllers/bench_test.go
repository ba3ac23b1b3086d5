// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// BenchmarkJudge judges 10,000 pods on 100 nodes by ten policies that match all of them: what one
// reconciliation costs beside its reads.
func BenchmarkJudge(b *testing.B) {
	in := world()
	for n := range 100 {
		node := fmt.Sprintf("node-%d", n)
		g := v1alpha1.ObservedGroup{Levels: isolated, Inspected: true}
		for i := range 100 {
			pod := running(fmt.Sprintf("pod-%d-%d", n, i), time.Hour)
			pod.Spec.NodeName = node
			in.Pods = append(in.Pods, pod)
			g.Pods = append(g.Pods, v1alpha1.ObservedPod{UID: pod.UID})
		}
		in.Reports[node], in.Agents[node] = report(node, g), now
	}
	for i := range 10 {
		p := demanding(fmt.Sprintf("policy-%d", i))
		p.UID = types.UID(p.Name)
		in.Policies = append(in.Policies, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		judge(in, options)
	}
}
