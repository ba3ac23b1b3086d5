// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// readiness tells which pods could have a user namespace of their own.
type readiness struct {
	header
	Totals     isolation.UserNamespaceCounts `json:"totals"`
	Namespaces []readyNamespace              `json:"namespaces"`
	Obstacles  []obstacleCount               `json:"obstacles"`
	Pods       []podWithObstacles            `json:"pods"`
}

type readyNamespace struct {
	Name string `json:"name"`
	isolation.UserNamespaceCounts
	// Obstacles are the pods in whose way each reason stands.
	Obstacles map[string]int `json:"obstacles"`
}

// obstacleCount is in how many pods' way a reason stands.
type obstacleCount struct {
	Reason string                 `json:"reason"`
	Kind   isolation.ObstacleKind `json:"kind"`
	Pods   int                    `json:"pods"`
	// Example is the message of one of them.
	Example string `json:"example"`
}

// podWithObstacles is a pod that is on the node's user namespace by its spec.
type podWithObstacles struct {
	Namespace string                       `json:"namespace"`
	Name      string                       `json:"name"`
	Node      string                       `json:"node,omitempty"`
	State     isolation.UserNamespaceState `json:"state"`
	Observed  string                       `json:"observed"`
	Obstacles []obstacleEntry              `json:"obstacles,omitempty"`
}

type obstacleEntry struct {
	Kind    isolation.ObstacleKind `json:"kind"`
	Reason  string                 `json:"reason"`
	Field   string                 `json:"field"`
	Message string                 `json:"message"`
}

// readinessBuilder makes it of one pod after the other.
type readinessBuilder struct {
	*surroundings
	out        *readiness
	sights     *ledger.Sights
	namespaces map[string]*readyNamespace
	obstacles  map[isolation.ObstacleSort]*obstacleCount
}

func newReadinessBuilder(in *surroundings) *readinessBuilder {
	return &readinessBuilder{
		surroundings: in, out: &readiness{header: in.header("UserNamespaceReadiness")},
		sights:     in.seen(),
		namespaces: make(map[string]*readyNamespace), obstacles: make(map[isolation.ObstacleSort]*obstacleCount),
	}
}

// pod judges a pod and counts it.
func (b *readinessBuilder) pod(pod *corev1.Pod) {
	if isolation.Ended(pod) {
		return
	}
	space, ok := b.namespaces[pod.Namespace]
	if !ok {
		space = &readyNamespace{Name: isolation.Sanitize(pod.Namespace, nameLimit), Obstacles: make(map[string]int)}
		b.namespaces[pod.Namespace] = space
	}
	sight := b.sights.Of(pod)
	observed := sight.Observed(isolation.User)
	row := podWithObstacles{
		Namespace: space.Name, Name: isolation.Sanitize(pod.Name, nameLimit), Node: isolation.Sanitize(pod.Spec.NodeName, nameLimit), Observed: observed.String(),
	}
	state := isolation.UserNamespaceOwn
	if !isolation.HasOwnUserNamespace(&pod.Spec) {
		obstacles := isolation.UserNamespaceObstacles(&pod.Spec, isolation.NodeFactsOf(b.Nodes[pod.Spec.NodeName]), isolation.HandlerOf(&pod.Spec, b.Handlers))
		readiness := isolation.ReadinessOf(obstacles)
		state = readiness.State()
		row.State = state
		for _, o := range obstacles {
			row.Obstacles = append(row.Obstacles, obstacleEntry{o.Kind, o.Reason, o.Field, o.Message})
		}
		b.count(space, readiness, obstacles)
		b.out.Pods = append(b.out.Pods, row)
	}
	for _, c := range []*isolation.UserNamespaceCounts{&b.out.Totals, &space.UserNamespaceCounts} {
		c.Add(state, observed, 1)
	}
}

// count counts each reason once for a pod.
func (b *readinessBuilder) count(space *readyNamespace, readiness isolation.Readiness, obstacles []isolation.Obstacle) {
	reasons := make(map[string]bool)
	for sort := range readiness.Obstacles() {
		if !reasons[sort.Reason] {
			reasons[sort.Reason] = true
			space.Obstacles[sort.Reason]++
		}
		total, ok := b.obstacles[sort]
		if !ok {
			first := slices.IndexFunc(obstacles, func(o isolation.Obstacle) bool { return o.ObstacleSort == sort })
			total = &obstacleCount{Reason: sort.Reason, Kind: sort.Kind, Example: obstacles[first].Message}
			b.obstacles[sort] = total
		}
		total.Pods++
	}
}

// done is the report, with its lists in order: what is ready first, for that is what can be done.
func (b *readinessBuilder) done() *readiness {
	r := b.out
	for _, name := range slices.Sorted(maps.Keys(b.namespaces)) {
		r.Namespaces = append(r.Namespaces, *b.namespaces[name])
	}
	for _, total := range b.obstacles {
		r.Obstacles = append(r.Obstacles, *total)
	}
	slices.SortFunc(r.Obstacles, func(x, y obstacleCount) int {
		return cmp.Or(-cmp.Compare(x.Pods, y.Pods), cmp.Compare(x.Reason, y.Reason), cmp.Compare(x.Kind, y.Kind))
	})
	order := []isolation.UserNamespaceState{isolation.UserNamespaceReady, isolation.UserNamespaceUnclear, isolation.UserNamespaceBlocked}
	slices.SortFunc(r.Pods, func(x, y podWithObstacles) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.State), slices.Index(order, y.State)), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	return r
}
