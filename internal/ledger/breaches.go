// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Breach is a pod that a policy calls breached, and what that rests on. It is shared, and not to be
// written to.
type Breach struct {
	Pod     *Pod
	Subject *isolation.Subject
	Sight   isolation.Sight
	// Renewed is when the agent of the pod's node last said that it is alive, by its own clock.
	Renewed time.Time
	// OnNode and InNamespace are how many pods there are on the pod's node and in its namespace.
	OnNode, InNamespace int
}

// Breaches are the pods that a policy calls breached, by namespace and name. Only a policy that evicts
// has them remembered.
func (l *Ledger) Breaches(policy types.UID) []Breach {
	p := l.policy(policy)
	if p == nil {
		return nil
	}
	var out []Breach
	for _, pod := range slices.SortedFunc(maps.Keys(p.breached), byName) {
		b := Breach{Pod: pod.Pod, Subject: l.subject(pod), Sight: pod.sight(), InNamespace: len(pod.namespace.pods)}
		if pod.node != nil {
			b.Renewed, b.OnNode = pod.node.renewed, len(pod.node.pods)
		}
		out = append(out, b)
	}
	return out
}
