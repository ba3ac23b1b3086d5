// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Ledger is the books on one cluster. Objects that it is handed are kept and never written to.
type Ledger struct {
	now time.Time
	// pods that have not ended, by their UID and by their name.
	pods       map[types.UID]*pod
	named      map[types.NamespacedName]*pod
	namespaces map[string]*namespace
	nodes      map[string]*node
	// volumes are the claims of PersistentVolumes that show a part of their node, by the volume's name.
	volumes map[string]types.NamespacedName
	// volumesUnknown is why there may be more of them; empty if there are not.
	volumesUnknown string
	// handlers of the runtime classes, by the class's name.
	handlers map[string]string
	// obstacles is in how many pods' way each stands to a user namespace of their own.
	obstacles map[isolation.ObstacleSort]int
	// policies in the order in which they came; so are the marks of each pod. came is how many there were.
	policies []*policy
	came     int
	// ordered are the pods by namespace and name, among them some that are gone; joined are those that
	// are not in there yet.
	ordered, joined []*pod
	alarms          alarms
	// changed are namespaces of whose pods something else may be said than when that was asked last.
	changed map[string]struct{}
}

// namespace is one of which a pod, or the API server, spoke.
type namespace struct {
	labels labels.Set
	// known is set if the labels are.
	known bool
	pods  map[*pod]struct{}
	// claims of its pods, and of PersistentVolumes; nil if there are none.
	claims map[string]*claim
	// policies that may speak of the pods; nil if that is to be found out.
	policies []*policy
	// userns counts the pods by how ready they are for a user namespace of their own.
	userns isolation.UserNamespaceCounts
}

// New is a ledger that knows nothing yet, at some moment.
func New(now time.Time) *Ledger {
	return &Ledger{
		now:        now,
		pods:       make(map[types.UID]*pod),
		named:      make(map[types.NamespacedName]*pod),
		namespaces: make(map[string]*namespace),
		nodes:      make(map[string]*node),
		volumes:    make(map[string]types.NamespacedName),
		handlers:   make(map[string]string),
		obstacles:  make(map[isolation.ObstacleSort]int),
		changed:    make(map[string]struct{}),
	}
}

// SetPod tells of a pod as it is now. One of the same name that was another is gone.
func (l *Ledger) SetPod(p *Pod) {
	name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	known := l.named[name]
	if known != nil && (known.UID != p.UID || p.Ended()) {
		l.drop(known)
		known = nil
	}
	if p.Ended() {
		return
	}
	if known == nil {
		known = l.admit(p)
	}
	same := known.Pod != p && Same(known.Pod, p)
	if same {
		known.Pod = p
		return
	}
	known.letGo()
	known.Pod = p
	known.hold()
	l.place(known)
	l.follow(known)
	l.ready(known)
	l.judge(known)
}

// DeletePod tells that there is no pod of that name.
func (l *Ledger) DeletePod(name types.NamespacedName) {
	if known := l.named[name]; known != nil {
		l.drop(known)
	}
}

// admit takes up a pod that was not known.
func (l *Ledger) admit(p *Pod) *pod {
	known := &pod{Pod: p}
	l.pods[p.UID] = known
	l.named[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = known
	known.namespace = l.namespace(p.Namespace)
	known.namespace.pods[known] = struct{}{}
	l.joined = append(l.joined, known)
	return known
}

// drop forgets a pod.
func (l *Ledger) drop(p *pod) {
	l.unmark(p)
	l.unready(p)
	p.gone = true
	delete(l.pods, p.UID)
	delete(l.named, types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
	delete(p.namespace.pods, p)
	p.letGo()
	l.pruneNamespace(p.Namespace)
	l.leave(p)
	// Nobody may ask for the order for a long time: where there is no policy nobody does.
	if len(l.joined)+len(l.ordered) > 2*len(l.pods)+fewGone {
		l.inOrder()
	}
}

// fewGone is how many pods that are gone are kept in the lists of all at least, before the lists are made anew.
const fewGone = 64

func (l *Ledger) namespace(name string) *namespace {
	n := l.namespaces[name]
	if n == nil {
		n = &namespace{pods: make(map[*pod]struct{})}
		l.namespaces[name] = n
	}
	return n
}

// SetNamespace tells the labels of a namespace.
func (l *Ledger) SetNamespace(name string, labels map[string]string) {
	n := l.namespace(name)
	if n.known && maps.Equal(n.labels, labels) {
		return
	}
	n.labels, n.known, n.policies = labels, true, nil
	l.judgeAll(n.pods)
}

// DeleteNamespace tells that there is no namespace of that name. Pods in it that are still there are
// matched by every policy: unknown never passes.
func (l *Ledger) DeleteNamespace(name string) {
	n := l.namespaces[name]
	switch {
	case n == nil:
	case n.known:
		n.labels, n.known, n.policies = nil, false, nil
		l.judgeAll(n.pods)
		l.pruneNamespace(name)
	}
}

// SetPolicies tells which policies there are. One that is known in this generation is not judged by
// again.
func (l *Ledger) SetPolicies(all []v1alpha1.IsolationPolicy) {
	stays := make(map[types.UID]int64, len(all))
	for i := range all {
		stays[all[i].UID] = all[i].Generation
	}
	l.policies = slices.DeleteFunc(l.policies, func(p *policy) bool {
		generation, ok := stays[p.api.UID]
		gone := !ok || generation != p.api.Generation
		if gone {
			l.erase(p)
		}
		return gone
	})
	for i := range all {
		if l.policy(all[i].UID) == nil {
			l.join(&all[i])
		}
	}
}

// policy of a UID; nil if there is none.
func (l *Ledger) policy(uid types.UID) *policy {
	for _, p := range l.policies {
		if p.api.UID == uid {
			return p
		}
	}
	return nil
}

// join judges every pod by a policy that was not known.
func (l *Ledger) join(api *v1alpha1.IsolationPolicy) {
	l.came++
	p := newPolicy(api, l.came)
	l.policies = append(l.policies, p)
	p.waitForExemptions(l)
	for _, n := range l.namespaces {
		n.policies = nil
		if !p.concerns(n) {
			continue
		}
		for pod := range n.pods {
			if m, ok := p.mark(pod, l.subject(pod), pod.sight()); ok {
				l.count(pod, &m, 1)
				pod.marks = append(pod.marks, m)
			}
		}
	}
}

// concerning are the policies that may speak of pods in a namespace.
func (l *Ledger) concerning(n *namespace) []*policy {
	if n.policies == nil {
		n.policies = make([]*policy, 0, len(l.policies))
		for _, p := range l.policies {
			if p.concerns(n) {
				n.policies = append(n.policies, p)
			}
		}
	}
	return n.policies
}

// erase takes what a policy said from every pod.
func (l *Ledger) erase(p *policy) {
	for _, n := range l.namespaces {
		n.policies = nil
	}
	for _, pod := range l.pods {
		if pod.mark(p) == nil {
			continue
		}
		l.changed[pod.Namespace] = struct{}{}
		pod.marks = slices.DeleteFunc(pod.marks, func(m mark) bool { return m.policy == p })
	}
}

// judgeAll judges some of the pods again.
func (l *Ledger) judgeAll(pods map[*pod]struct{}) {
	for p := range pods {
		l.judge(p)
	}
}

// Advance tells what time it is. Time does not go back.
func (l *Ledger) Advance(now time.Time) {
	l.now = now
	for _, ring := range l.alarms.due(now) {
		ring()
	}
}

// Next is when something may change by the passing of time alone; zero if nothing does.
func (l *Ledger) Next() time.Time { return l.alarms.next() }

// Exists tells whether there is a pod of this UID that has not ended.
func (l *Ledger) Exists(pod types.UID) bool { return l.pods[pod] != nil }

// Len is how many pods there are that have not ended.
func (l *Ledger) Len() int { return len(l.pods) }

// inOrder are all pods by namespace and name.
func (l *Ledger) inOrder() []*pod {
	if len(l.joined) == 0 && len(l.ordered) == len(l.pods) {
		return l.ordered
	}
	gone := func(p *pod) bool { return p.gone }
	joined := slices.DeleteFunc(l.joined, gone)
	slices.SortFunc(joined, byName)
	l.ordered = merge(slices.DeleteFunc(l.ordered, gone), joined)
	l.joined = nil
	return l.ordered
}

func byName(a, b *pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// merge makes one ordered list of two.
func merge(a, b []*pod) []*pod {
	if len(b) == 0 {
		return a
	}
	out := make([]*pod, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if byName(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
