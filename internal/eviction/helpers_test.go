// SPDX-License-Identifier: Apache-2.0

package eviction_test

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

var now = ledgertest.Now

// limits are small, so that few pods reach them.
func limits() eviction.Limits {
	l := eviction.DefaultLimits()
	l.Few = 100
	return l
}

// candidate is a pod of a big cluster that escaped, on a node, in a namespace and of an owner of its own.
func candidate(name string) eviction.Candidate {
	return eviction.Candidate{
		Policy: eviction.Policy{UID: "uid-all", Name: "all", Generation: 1, Matched: 10_000},
		Pod:    types.NamespacedName{Namespace: "ns-" + name, Name: name}, UID: types.UID("uid-" + name),
		Node: "node-" + name, Owner: "owner-" + name,
		Breaches: []eviction.Breach{{Place: "pid", Kind: v1alpha1.Escape, Message: "it escaped"}},
		Renewed:  now, OnNode: 100, InNamespace: 1000,
	}
}

func candidates(n int, change func(i int, c *eviction.Candidate)) []eviction.Candidate {
	var out []eviction.Candidate
	for i := range n {
		c := candidate(fmt.Sprintf("pod-%03d", i))
		if change != nil {
			change(i, &c)
		}
		out = append(out, c)
	}
	return out
}

// held is an input of candidates whose breach has held for long, and of which their nodes said so since.
func held(all ...eviction.Candidate) *eviction.Input {
	in := &eviction.Input{
		Now: now.Add(2 * time.Minute), Candidates: all, Pods: 100_000, Limits: limits(),
		Watch: &eviction.Watch{}, History: &eviction.History{}, Rest: map[types.UID]time.Time{},
	}
	in.Watch.Look(now, all)
	for i := range all {
		all[i].Renewed = all[i].Renewed.Add(40 * time.Second)
	}
	in.Watch.Look(in.Now, all)
	return in
}

// outcomes counts what becomes of candidates.
func outcomes(in *eviction.Input) map[eviction.Outcome]int {
	out := make(map[eviction.Outcome]int)
	for _, d := range eviction.Decide(in) {
		out[d.Outcome]++
	}
	return out
}

// escaped is a pod of a Deployment that a policy calls breached, with what its node reports of it.
type escaped struct {
	policy  v1alpha1.IsolationPolicy
	pod     corev1.Pod
	sight   isolation.Sight
	outside []string
	// claims are where those of the pod lead, and unknown why that is not known.
	claims  map[string][]isolation.NodeVolume
	unknown string
}

func anEscape() *escaped {
	e := &escaped{policy: ledgertest.Demanding("all"), pod: ledgertest.Running("a", time.Hour)}
	e.policy.Spec.Runtime.Action = v1alpha1.Evict
	e.pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "a", UID: "uid-rs", Controller: ptr.To(true)}}
	e.sight = isolation.Sight{Levels: isolation.VectorOf(ledgertest.OnHostPID())}
	return e
}

func (e *escaped) examine() eviction.Candidate {
	s := isolation.NewSubject(&e.pod, nil)
	s.Claims, s.ClaimsUnknown = e.claims, e.unknown
	return eviction.Examine(ledgertest.MustCompile(e.policy), ledger.Keep(e.pod.DeepCopy()), s, e.sight, e.outside)
}
