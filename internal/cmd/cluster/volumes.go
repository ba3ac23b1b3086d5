// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Volumes are the PersistentVolumes that show a part of their node, by the claim that they are bound to.
type Volumes struct {
	claims map[types.NamespacedName][]isolation.NodeVolume
	// unknown is why they could not be read; empty if they were.
	unknown string
}

// ReadVolumes reads them a page at a time, in the order of their names. Who may not read them is told so
// of each pod that has claims.
func ReadVolumes(ctx context.Context, c client.Reader) (*Volumes, error) {
	v := &Volumes{claims: make(map[types.NamespacedName][]isolation.NodeVolume)}
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		list := &corev1.PersistentVolumeList{}
		return list, c.List(ctx, list, client.Limit(o.Limit), client.Continue(o.Continue))
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		if pv, ok := o.(*corev1.PersistentVolume); ok {
			if shown, of, bound := isolation.NodeVolumeOf(pv); bound {
				v.claims[of] = append(v.claims[of], shown)
			}
		}
		return nil
	})
	switch {
	case apierrors.IsForbidden(err):
		v.unknown = isolation.Sanitize(fmt.Sprintf("PersistentVolumes cannot be read: %v", err), 512)
	case err != nil:
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return v, nil
}

// TellOf tells a subject what its claims lead to. Nil Volumes tell nothing.
func (v *Volumes) TellOf(s *isolation.Subject) {
	if v == nil {
		return
	}
	s.ClaimsUnknown = v.unknown
	for i := range s.Spec.Volumes {
		name := isolation.VolumeClaimOf(s.Name, &s.Spec.Volumes[i])
		if shown := v.claims[types.NamespacedName{Namespace: s.Namespace, Name: name}]; name != "" && len(shown) > 0 {
			if s.Claims == nil {
				s.Claims = make(map[string][]isolation.NodeVolume)
			}
			s.Claims[name] = shown
		}
	}
}
