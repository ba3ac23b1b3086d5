// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// volumes follows PersistentVolumes past the manager's cache, which would hold all of them and wait for
// those that it may not read: admission must not stand still for that. Of those that show a part of their
// node and are bound the name is kept, of others nothing.
type volumes struct {
	client corev1client.PersistentVolumeInterface
	feed   *feed
	// ask for a judgement.
	ask func()

	mu sync.Mutex
	// told are those of which the books know.
	told map[string]struct{}
	// known is set while the books know of all.
	known bool
	// read is closed, once, when they were read, or could not be, for the first time.
	read chan struct{}
	once sync.Once
}

func newVolumes(config *rest.Config, http *http.Client, f *feed) (*volumes, error) {
	c, err := corev1client.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, fmt.Errorf("make a client that reads PersistentVolumes: %w", err)
	}
	return &volumes{client: c.PersistentVolumes(), feed: f}, nil
}

// +kubebuilder:rbac:groups="",resources=persistentvolumes,verbs=list;watch

// Start follows them until the context ends: a source of the controller that judges.
func (v *volumes) Start(ctx context.Context, q queue) error {
	v.told, v.read = make(map[string]struct{}), make(chan struct{})
	v.ask = func() { enqueueSoon(q) }
	v.unknown("PersistentVolumes were not read yet")
	listed := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := v.client.List(ctx, o)
			v.failed(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := v.client.Watch(ctx, o)
			v.failed(ctx, err)
			return w, err
		},
	}
	r := toolscache.NewReflectorWithOptions(listed, &corev1.PersistentVolume{}, v, toolscache.ReflectorOptions{Name: "PersistentVolumes"})
	go r.RunWithContext(ctx)
	return nil
}

// WaitForSync waits until there is something to say of them: so nothing is told to have ended that merely
// was not read again yet.
func (v *volumes) WaitForSync(ctx context.Context) error {
	select {
	case <-v.read:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read PersistentVolumes: %w", ctx.Err())
	}
}

// failed takes note that they cannot be read. What was read before still counts when the API server merely
// does not answer, as it does in every cache; not when it refuses. That it has another way to list them
// (Invalid) is no failure, and neither is that the manager ends.
func (v *volumes) failed(ctx context.Context, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil || ctx.Err() != nil || apierrors.IsInvalid(err) || v.known && !apierrors.IsForbidden(err) {
		return
	}
	v.known = false
	v.unknown(isolation.Sanitize(fmt.Sprintf("PersistentVolumes cannot be read: %v", err), 512))
	v.ready()
}

func (v *volumes) unknown(why string) {
	v.feed.note(subject{kind: "PersistentVolumes"}, func(books *ledger.Ledger) { books.SetVolumesUnknown(why) })
	v.ask()
}

func (v *volumes) ready() { v.once.Do(func() { close(v.read) }) }

// Transformer strips what is held of a list while it is read, and of each change.
func (v *volumes) Transformer() toolscache.TransformFunc {
	return func(o any) (any, error) {
		if pv, ok := o.(*corev1.PersistentVolume); ok {
			return stripVolume(pv), nil
		}
		return o, nil
	}
}

// stripVolume leaves of a PersistentVolume what tells which claim has what of the node.
func stripVolume(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	out := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: pv.Name, UID: pv.UID, ResourceVersion: pv.ResourceVersion}}
	out.Spec.HostPath, out.Spec.Local = pv.Spec.HostPath, pv.Spec.Local
	out.Status.Phase, out.Status.LastPhaseTransitionTime = pv.Status.Phase, pv.Status.LastPhaseTransitionTime
	if ref := pv.Spec.ClaimRef; ref != nil {
		out.Spec.ClaimRef = &corev1.ObjectReference{Namespace: ref.Namespace, Name: ref.Name, UID: ref.UID}
	}
	return out
}

// Add implements [toolscache.ReflectorStore].
func (v *volumes) Add(o any) error { return v.Update(o) }

// Update implements [toolscache.ReflectorStore].
func (v *volumes) Update(o any) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if pv, ok := o.(*corev1.PersistentVolume); ok && v.tell(pv) {
		v.ask()
	}
	return nil
}

// Delete implements [toolscache.ReflectorStore].
func (v *volumes) Delete(o any) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if pv, ok := o.(*corev1.PersistentVolume); ok && v.gone(pv.Name) {
		v.ask()
	}
	return nil
}

// Replace implements [toolscache.ReflectorStore]: these are all that there are.
func (v *volumes) Replace(all []any, _ string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	there := make(map[string]struct{}, len(all))
	for _, o := range all {
		if pv, ok := o.(*corev1.PersistentVolume); ok {
			there[pv.Name] = struct{}{}
			v.tell(pv)
		}
	}
	for name := range v.told {
		if _, ok := there[name]; !ok {
			v.gone(name)
		}
	}
	v.known = true
	v.unknown("")
	v.ready()
	return nil
}

// Resync implements [toolscache.ReflectorStore]: there is nothing that could differ.
func (v *volumes) Resync() error { return nil }

// tell tells the books of a volume, if it shows a part of its node, or did.
func (v *volumes) tell(pv *corev1.PersistentVolume) (news bool) {
	if _, _, bound := isolation.NodeVolumeOf(pv); !bound {
		return v.gone(pv.Name)
	}
	v.told[pv.Name] = struct{}{}
	kept := stripVolume(pv)
	v.feed.note(volumeSubject(pv.Name), func(books *ledger.Ledger) { books.SetVolume(kept) })
	return true
}

// gone tells the books that it shows nothing any more, if they know of it.
func (v *volumes) gone(name string) (news bool) {
	if _, known := v.told[name]; !known {
		return false
	}
	delete(v.told, name)
	v.feed.note(volumeSubject(name), func(books *ledger.Ledger) { books.DeleteVolume(name) })
	return true
}

func volumeSubject(name string) subject {
	return subject{"PersistentVolume", types.NamespacedName{Name: name}}
}
