// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// claim is one of which a pod, or a PersistentVolume that shows a part of its node, spoke.
type claim struct {
	pods []*pod
	// volumes that are bound to it, by name. There is one; two while one of them is about to be released.
	// The list is made anew when it changes: others hold it.
	volumes []isolation.NodeVolume
}

// SetVolume tells of a PersistentVolume. Only those count that show a part of their node, and only while
// they are bound; of others, and of one that is gone, nothing is kept.
func (l *Ledger) SetVolume(pv *corev1.PersistentVolume) {
	v, of, bound := isolation.NodeVolumeOf(pv)
	before, known := l.volumes[pv.Name]
	if known && (!bound || before != of) {
		l.bind(before, pv.Name, nil)
		delete(l.volumes, pv.Name)
	}
	if bound {
		l.volumes[pv.Name] = of
		l.bind(of, pv.Name, &v)
	}
}

// DeleteVolume tells that there is no PersistentVolume of that name.
func (l *Ledger) DeleteVolume(name string) {
	if of, known := l.volumes[name]; known {
		l.bind(of, name, nil)
		delete(l.volumes, name)
	}
}

// SetVolumesUnknown tells why there may be PersistentVolumes of which was not told; empty if there are none.
// Until something is said of it there are none.
func (l *Ledger) SetVolumesUnknown(why string) {
	if l.volumesUnknown == why {
		return
	}
	l.volumesUnknown = why
	concerned := make(map[*pod]struct{})
	for _, n := range l.namespaces {
		for _, c := range n.claims {
			for _, p := range c.pods {
				concerned[p] = struct{}{}
			}
		}
	}
	l.judgeAll(concerned)
}

// bind puts a volume to its claim, or takes it away (v is nil), and judges the pods of that claim.
func (l *Ledger) bind(of types.NamespacedName, name string, v *isolation.NodeVolume) {
	n := l.namespace(of.Namespace)
	c := n.claim(of.Name)
	at, there := slices.BinarySearchFunc(c.volumes, name, func(v isolation.NodeVolume, name string) int { return cmp.Compare(v.Name, name) })
	if there && v != nil && c.volumes[at] == *v {
		return
	}
	volumes := slices.Clone(c.volumes)
	if there {
		volumes = slices.Delete(volumes, at, at+1)
	}
	if v != nil {
		volumes = slices.Insert(volumes, at, *v)
	}
	c.volumes = volumes
	for _, p := range c.pods {
		l.judge(p)
	}
	n.prune(of.Name)
	l.pruneNamespace(of.Namespace)
}

// hold puts a pod to its claims, and letGo takes it away. A pod without claims leaves no trace.
func (p *pod) hold() {
	for name := range p.claims() {
		c := p.namespace.claim(name)
		if !slices.Contains(c.pods, p) {
			c.pods = append(c.pods, p)
		}
	}
}

func (p *pod) letGo() {
	for name := range p.claims() {
		c := p.namespace.claims[name]
		if c == nil {
			continue
		}
		if at := slices.Index(c.pods, p); at >= 0 {
			c.pods = slices.Delete(c.pods, at, at+1)
		}
		p.namespace.prune(name)
	}
}

// claims are the names of the pod's.
func (p *pod) claims() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range p.Spec.Volumes {
			if name := isolation.VolumeClaimOf(p.Name, &p.Spec.Volumes[i]); name != "" && !yield(name) {
				return
			}
		}
	}
}

// bound are the volumes to which the pod's claims are bound, by the claim's name; nil if there are none.
func (p *pod) bound() map[string][]isolation.NodeVolume {
	var out map[string][]isolation.NodeVolume
	for name := range p.claims() {
		if c := p.namespace.claims[name]; c != nil && len(c.volumes) > 0 {
			if out == nil {
				out = make(map[string][]isolation.NodeVolume)
			}
			out[name] = c.volumes
		}
	}
	return out
}

func (n *namespace) claim(name string) *claim {
	c := n.claims[name]
	if c == nil {
		if n.claims == nil {
			n.claims = make(map[string]*claim)
		}
		c = &claim{}
		n.claims[name] = c
	}
	return c
}

// prune forgets a claim of which nobody speaks any more.
func (n *namespace) prune(name string) {
	if c := n.claims[name]; c != nil && len(c.pods) == 0 && len(c.volumes) == 0 {
		delete(n.claims, name)
	}
}

// pruneNamespace forgets a namespace of which nobody speaks any more.
func (l *Ledger) pruneNamespace(name string) {
	if n := l.namespaces[name]; n != nil && !n.known && len(n.pods) == 0 && len(n.claims) == 0 {
		delete(l.namespaces, name)
	}
}
