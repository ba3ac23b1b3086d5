// SPDX-License-Identifier: Apache-2.0

package podcache

import (
	"crypto/sha256"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/lru"

	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// templates is how many different specs, and sets of labels, are remembered. One that was forgotten is
// kept twice from then on, and harms nothing else.
const templates = 10_000

// pool lets pods share what they have in common: those of a Deployment differ in name and node only.
type pool struct{ specs, labels *lru.Cache }

type digest [sha256.Size]byte

func newPool() *pool { return &pool{specs: lru.New(templates), labels: lru.New(templates)} }

// share replaces what another pod has as well by what the other one has.
func (p *pool) share(pod *ledger.Pod) {
	// The encoding writes maps in order; so what is the same is written the same.
	if b, err := pod.Spec.Marshal(); err == nil {
		key := digest(sha256.Sum256(b))
		if known, ok := p.specs.Get(key); ok {
			pod.Spec = known.(*corev1.PodSpec)
		} else {
			p.specs.Add(key, pod.Spec)
		}
	}
	key := digestOf(pod.Labels)
	if known, ok := p.labels.Get(key); ok {
		pod.Labels = known.(map[string]string)
	} else {
		p.labels.Add(key, pod.Labels)
	}
}

func digestOf(labels map[string]string) digest {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		// Neither of the two can hold a zero byte (apimachinery's validation of labels).
		h.Write([]byte(key + "\x00" + labels[key] + "\x00"))
	}
	return digest(h.Sum(nil))
}
