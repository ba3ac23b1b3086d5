// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// A store holds the policies by which this replica judges. Whoever judges takes the snapshot once
// and needs no lock. A policy that does not compile is not served: the controller says so in its
// condition Accepted.
type store struct {
	cache cache.Cache
	log   logr.Logger
	// gone is told the names of policies that are no longer served.
	gone    func(name string)
	current atomic.Pointer[snapshot]
	// changed tells that other policies are served than before. It holds one token.
	changed chan struct{}
}

// revision is one state of a policy's spec.
type revision struct {
	uid        types.UID
	generation int64
}

// compiled is what became of a revision.
type compiled struct {
	policy *isolation.Policy
	err    error
}

// A snapshot is immutable.
type snapshot struct {
	policies []*isolation.Policy // by name
	served   v1alpha1.Served
	known    map[revision]compiled
}

func newStore(c cache.Cache, log logr.Logger, gone func(name string)) *store {
	return &store{cache: c, log: log, gone: gone, changed: make(chan struct{}, 1)}
}

// NeedLeaderElection is false: every replica serves.
func (*store) NeedLeaderElection() bool { return false }

// +kubebuilder:rbac:groups=bulkhead.dev,resources=isolationpolicies,verbs=list;watch

// Start keeps the snapshot in step with the cache until ctx ends.
func (s *store) Start(ctx context.Context) error {
	// The informer is in sync when it is handed out, so the first snapshot is complete.
	informer, err := s.cache.GetInformer(ctx, &v1alpha1.IsolationPolicy{})
	if err != nil {
		return fmt.Errorf("watch IsolationPolicies: %w", err)
	}
	events := make(chan struct{}, 1)
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal(events) },
		UpdateFunc: func(any, any) { signal(events) },
		DeleteFunc: func(any) { signal(events) },
	})
	if err != nil {
		return fmt.Errorf("watch IsolationPolicies: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(registration) }()
	for {
		if err := s.rebuild(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-events:
		}
	}
}

// rebuild reads all policies and swaps the snapshot.
func (s *store) rebuild(ctx context.Context) error {
	var list v1alpha1.IsolationPolicyList
	if err := s.cache.List(ctx, &list); err != nil {
		return fmt.Errorf("list IsolationPolicies from the cache: %w", err)
	}
	previous := s.current.Load()
	next := compileAll(previous, list.Items)
	for r, c := range next.known {
		if c.err != nil && !previous.knows(r) {
			s.log.Error(c.err, "A policy is not served", "uid", r.uid, "generation", r.generation)
		}
	}
	s.current.Store(next)
	for _, name := range previous.without(next) {
		s.gone(name)
	}
	if previous == nil || !maps.Equal(previous.served, next.served) {
		s.log.Info("Serving policies", "count", len(next.policies))
		signal(s.changed)
	}
	return nil
}

// compileAll makes the next snapshot. What the previous one knows is not compiled again: a write
// of a status is an event as well.
func compileAll(previous *snapshot, items []v1alpha1.IsolationPolicy) *snapshot {
	next := &snapshot{
		policies: make([]*isolation.Policy, 0, len(items)),
		served:   make(v1alpha1.Served, len(items)),
		known:    make(map[revision]compiled, len(items)),
	}
	for i := range items {
		p := &items[i]
		r := revision{p.UID, p.Generation}
		c := compiled{}
		if previous.knows(r) {
			c = previous.known[r]
		} else {
			c.policy, c.err = isolation.Compile(p)
		}
		next.known[r] = c
		if c.err == nil {
			next.policies = append(next.policies, c.policy)
			next.served[r.uid] = r.generation
		}
	}
	slices.SortFunc(next.policies, func(a, b *isolation.Policy) int { return cmp.Compare(a.Name, b.Name) })
	return next
}

func (s *snapshot) knows(r revision) bool {
	if s == nil {
		return false
	}
	_, ok := s.known[r]
	return ok
}

// without names the policies that are served by s and not by next.
func (s *snapshot) without(next *snapshot) []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, p := range s.policies {
		if !slices.ContainsFunc(next.policies, func(n *isolation.Policy) bool { return n.Name == p.Name }) {
			names = append(names, p.Name)
		}
	}
	return names
}

// policies are what to judge by, in order of their names. ok is false until they have been read:
// then nothing may be admitted for want of a policy.
func (s *store) policies() (policies []*isolation.Policy, ok bool) {
	current := s.current.Load()
	if current == nil {
		return nil, false
	}
	return current.policies, true
}

// ready fails until the policies have been read.
func (s *store) ready() error {
	if s.current.Load() == nil {
		return errNotRead
	}
	return nil
}

// served tells which policies that are; ok as in policies.
func (s *store) served() (served v1alpha1.Served, ok bool) {
	current := s.current.Load()
	if current == nil {
		return nil, false
	}
	return current.served, true
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
