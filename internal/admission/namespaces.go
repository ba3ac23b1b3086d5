// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespaceTimeout bounds each of the two reads; the request's own time does as well.
const namespaceTimeout = 2 * time.Second

// maxAsking is how many reviews may wait for the API server at a time, each of which takes up one of maxJudged places:
// the others are for reviews of namespaces that are known, so that nobody keeps those out by naming namespaces
// that there are not. The API server refuses such pods before it asks a webhook (NamespaceLifecycle is the third of
// AllOrderedPlugins in Kubernetes' pkg/kubeapiserver/options/plugins.go), unless that was switched off, but whoever
// reaches the Service can ask as well. A review cannot give its place back meanwhile: places bound the memory.
const maxAsking = maxJudged - 8

// namespaces knows the labels of namespaces. Each endpoint has its own.
type namespaces struct {
	// cached is asked first. A namespace created a moment ago may be missing there, so live, the
	// API server itself, is asked next.
	cached, live client.Reader
	// asking are the places of those that wait for live.
	asking chan struct{}
	log    logr.Logger
}

func newNamespaces(cached, live client.Reader, log logr.Logger) *namespaces {
	return &namespaces{cached: cached, live: live, asking: make(chan struct{}, maxAsking), log: log}
}

// Asked for what the cache does not know yet.
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get

// labels of the namespace. ok is false if nobody could tell: then they are unknown, which is not
// the same as none.
func (n *namespaces) labels(ctx context.Context, name string) (set labels.Set, ok bool) {
	set, err := read(ctx, n.cached, name)
	if err == nil {
		return set, true
	}
	select {
	case n.asking <- struct{}{}:
		set, err = read(ctx, n.live, name)
		<-n.asking
	default:
		err = fmt.Errorf("%d reviews wait already to hear of namespaces that the cache does not know", cap(n.asking))
	}
	if err == nil {
		return set, true
	}
	n.log.Error(err, "The namespace's labels are unknown: every selector is taken to match", "namespace", name)
	return nil, false
}

func read(ctx context.Context, from client.Reader, name string) (labels.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	var n corev1.Namespace
	// The labels are only read: the cache needs to copy nothing.
	if err := from.Get(ctx, client.ObjectKey{Name: name}, &n, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	return n.Labels, nil
}

// synced waits until the cache knows what reviews are judged by beside the policies: namespaces, and
// the pods that a policy's author is told of.
type synced struct {
	cache      cache.Cache
	namespaces atomic.Bool
}

// NeedLeaderElection is false: every replica serves.
func (*synced) NeedLeaderElection() bool { return false }

// +kubebuilder:rbac:groups="",resources=namespaces;pods,verbs=list;watch

// Start has the cache filled. Whoever is asked before pods are there waits for them.
func (s *synced) Start(ctx context.Context) error {
	// An informer is in sync when it is handed out.
	if _, err := s.cache.GetInformer(ctx, &corev1.Namespace{}); err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	s.namespaces.Store(true)
	if _, err := s.cache.GetInformer(ctx, &corev1.Pod{}); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	<-ctx.Done()
	return nil
}

func (s *synced) ready() error {
	if !s.namespaces.Load() {
		return errors.New("this replica has not read the namespaces yet: try again in a moment")
	}
	return nil
}
