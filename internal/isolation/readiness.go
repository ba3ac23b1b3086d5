// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// UserNamespaceState says whether a pod could have a user namespace of its own.
type UserNamespaceState string

const (
	// UserNamespaceOwn: its spec asks for one already.
	UserNamespaceOwn UserNamespaceState = "Own"
	// UserNamespaceReady: it could set hostUsers: false as it is.
	UserNamespaceReady UserNamespaceState = "Ready"
	// UserNamespaceUnclear: nothing that is known stands in the way, and not all is known.
	UserNamespaceUnclear UserNamespaceState = "Unclear"
	// UserNamespaceBlocked: something stands in the way.
	UserNamespaceBlocked UserNamespaceState = "Blocked"
)

// Readiness is how ready a pod is for a user namespace of its own: which sorts of obstacles stand in its way,
// each by one bit, or that it has one already. Of a pod more is kept nowhere, for there may be very many.
type Readiness uint32

const ownUserNamespace Readiness = 1 << 31

// unclearSorts has the bits of those sorts of which nothing is known to stand in the way.
var unclearSorts = func() (r Readiness) {
	for i, s := range sortOf {
		if s.Kind == ObstacleUnclear {
			r |= 1 << i
		}
	}
	return r
}()

// ReadinessOf is that of a pod with these obstacles.
func ReadinessOf(all []Obstacle) (r Readiness) {
	for i := range all {
		r |= 1 << all[i].sort
	}
	return r
}

// UserNamespaceReadiness is that of a pod: see [UserNamespaceObstacles].
func UserNamespaceReadiness(spec *corev1.PodSpec, node *NodeFacts, handler *string) Readiness {
	if HasOwnUserNamespace(spec) {
		return ownUserNamespace
	}
	return ReadinessOf(UserNamespaceObstacles(spec, node, handler))
}

// HasOwnUserNamespace tells whether a spec asks for a user namespace of the pod's own.
func HasOwnUserNamespace(spec *corev1.PodSpec) bool { return !ptr.Deref(spec.HostUsers, true) }

// State is what it comes to.
func (r Readiness) State() UserNamespaceState {
	switch {
	case r == ownUserNamespace:
		return UserNamespaceOwn
	case r == 0:
		return UserNamespaceReady
	case r&^unclearSorts == 0:
		return UserNamespaceUnclear
	}
	return UserNamespaceBlocked
}

// Obstacles are the sorts that stand in the way, each once.
func (r Readiness) Obstacles() iter.Seq[ObstacleSort] {
	return func(yield func(ObstacleSort) bool) {
		for i, s := range sortOf {
			if r&(1<<i) != 0 && !yield(s) {
				return
			}
		}
	}
}

// UserNamespaceCounts count pods that have not ended: pods = own + ready + unclear + blocked.
type UserNamespaceCounts struct {
	Pods    int `json:"pods"`
	Own     int `json:"own"`
	Ready   int `json:"ready"`
	Unclear int `json:"unclear"`
	Blocked int `json:"blocked"`
	// SeenAtHost: whatever their spec says, their agent saw that their root is root on the node.
	SeenAtHost int `json:"seenAtHost"`
}

// Add counts a pod in that state, or takes it off: by is 1 or -1. observed is its level on the axis [User].
func (c *UserNamespaceCounts) Add(s UserNamespaceState, observed Level, by int) {
	c.Pods += by
	if observed == Host {
		c.SeenAtHost += by
	}
	switch s {
	case UserNamespaceOwn:
		c.Own += by
	case UserNamespaceReady:
		c.Ready += by
	case UserNamespaceUnclear:
		c.Unclear += by
	default:
		c.Blocked += by
	}
}
