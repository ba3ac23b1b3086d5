// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// namespaceTimeout bounds each of the two reads. The API server waits 10 s for an answer if
// nobody tells it otherwise.
const namespaceTimeout = 2 * time.Second

// namespaces knows the labels of namespaces.
type namespaces struct {
	// cached is asked first. A namespace created a moment ago may be missing there, so live, the
	// API server itself, is asked next.
	cached, live client.Reader
}

// labels of the namespace. ok is false if nobody could tell: then they are unknown, which is not
// the same as none.
func (n *namespaces) labels(ctx context.Context, name string) (set labels.Set, ok bool) {
	set, err := read(ctx, n.cached, name)
	if err == nil {
		return set, true
	}
	if set, err = read(ctx, n.live, name); err == nil {
		return set, true
	}
	logf.FromContext(ctx).Error(err, "The namespace's labels are unknown: every selector is taken to match")
	return nil, false
}

func read(ctx context.Context, from client.Reader, name string) (labels.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	var n corev1.Namespace
	if err := from.Get(ctx, client.ObjectKey{Name: name}, &n); err != nil {
		return nil, err
	}
	return n.Labels, nil
}
