// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// readiness tells which pods could have a user namespace of their own.
type readiness struct {
	header
	Totals     readinessCounts    `json:"totals"`
	Namespaces []readyNamespace   `json:"namespaces"`
	Obstacles  []obstacleCount    `json:"obstacles"`
	Pods       []podWithObstacles `json:"pods"`
}

// readinessCounts count pods that have not ended: pods = own + ready + unclear + blocked.
type readinessCounts struct {
	Pods int `json:"pods"`
	// Own: their spec asks for a user namespace of their own already.
	Own int `json:"own"`
	// Ready: they could set hostUsers: false as they are.
	Ready int `json:"ready"`
	// Unclear: nothing that is known stands in the way, and not all is known.
	Unclear int `json:"unclear"`
	// Blocked: something stands in the way.
	Blocked int `json:"blocked"`
	// SeenAtHost: whatever their spec says, their agent saw that their root is root on the node.
	SeenAtHost int `json:"seenAtHost"`
}

type readyNamespace struct {
	Name string `json:"name"`
	readinessCounts
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
	Namespace string          `json:"namespace"`
	Name      string          `json:"name"`
	Node      string          `json:"node,omitempty"`
	State     readyState      `json:"state"`
	Observed  string          `json:"observed"`
	Obstacles []obstacleEntry `json:"obstacles,omitempty"`
}

// readyState says whether a pod could have a user namespace of its own.
type readyState string

const (
	ready   readyState = "Ready"
	unclear readyState = "Unclear"
	blocked readyState = "Blocked"
)

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
	obstacles  map[obstacleKey]*obstacleCount
}

type obstacleKey struct {
	reason string
	kind   isolation.ObstacleKind
}

func newReadinessBuilder(in *surroundings) *readinessBuilder {
	return &readinessBuilder{
		surroundings: in, out: &readiness{header: in.header("UserNamespaceReadiness")},
		sights:     in.seen(),
		namespaces: make(map[string]*readyNamespace), obstacles: make(map[obstacleKey]*obstacleCount),
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
	observed := isolation.Unknown
	if sight := b.sights.Of(pod); sight.Unseen == "" {
		observed = sight.Levels[isolation.User]
	}
	row := podWithObstacles{
		Namespace: space.Name, Name: isolation.Sanitize(pod.Name, nameLimit), Node: isolation.Sanitize(pod.Spec.NodeName, nameLimit), Observed: observed.String(),
	}
	own := !ptr.Deref(pod.Spec.HostUsers, true)
	if !own {
		row.judge(isolation.UserNamespaceObstacles(&pod.Spec, b.Nodes[pod.Spec.NodeName], b.handler(pod)))
		b.count(space, row.Obstacles)
		b.out.Pods = append(b.out.Pods, row)
	}
	for _, c := range []*readinessCounts{&b.out.Totals, &space.readinessCounts} {
		c.add(own, row.State, observed)
	}
}

// handler of the pod's runtime class; nil if it is not known.
func (in *surroundings) handler(pod *corev1.Pod) *string {
	class := ptr.Deref(pod.Spec.RuntimeClassName, "")
	if class == "" {
		return &class
	}
	if handler, ok := in.Handlers[class]; ok {
		return &handler
	}
	return nil
}

// judge says how ready a pod with these obstacles is.
func (p *podWithObstacles) judge(obstacles []isolation.Obstacle) {
	p.State = ready
	for _, o := range obstacles {
		p.Obstacles = append(p.Obstacles, obstacleEntry{o.Kind, o.Reason, o.Field, o.Message})
		switch {
		case o.Kind != isolation.ObstacleUnclear:
			p.State = blocked
		case p.State == ready:
			p.State = unclear
		}
	}
}

// count counts each reason once for a pod.
func (b *readinessBuilder) count(space *readyNamespace, entries []obstacleEntry) {
	reasons, keys := make(map[string]bool), make(map[obstacleKey]bool)
	for _, e := range entries {
		if !reasons[e.Reason] {
			reasons[e.Reason] = true
			space.Obstacles[e.Reason]++
		}
		key := obstacleKey{e.Reason, e.Kind}
		if keys[key] {
			continue
		}
		keys[key] = true
		total, ok := b.obstacles[key]
		if !ok {
			total = &obstacleCount{Reason: e.Reason, Kind: e.Kind, Example: e.Message}
			b.obstacles[key] = total
		}
		total.Pods++
	}
}

func (c *readinessCounts) add(own bool, s readyState, observed isolation.Level) {
	c.Pods++
	if observed == isolation.Host {
		c.SeenAtHost++
	}
	switch {
	case own:
		c.Own++
	case s == ready:
		c.Ready++
	case s == unclear:
		c.Unclear++
	default:
		c.Blocked++
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
	order := []readyState{ready, unclear, blocked}
	slices.SortFunc(r.Pods, func(x, y podWithObstacles) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.State), slices.Index(order, y.State)), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	return r
}
