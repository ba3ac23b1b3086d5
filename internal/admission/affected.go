// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

const (
	// maxOwners is how many owners of violating pods are named.
	maxOwners = 10
	// maxOwner bounds what is said of one, and maxAffected what is said of all, in bytes: there is
	// more to tell the author of a policy.
	maxOwner, maxAffected = 256, 2 << 10
)

// population is where the pods are that exist.
type population struct {
	// cached knows namespaces.
	cached client.Reader
	// pods are all that there are.
	pods func(context.Context) ([]*ledger.Pod, error)
	// excluded are the namespaces that admission leaves alone.
	excluded []string
}

// An owner is what pods belong to, as a person knows it: the Deployment behind a ReplicaSet.
type owner struct {
	kind, namespace, name string
}

func (o owner) String() string {
	return isolation.Sanitize(o.kind, 63) + " " + isolation.Sanitize(o.namespace, 63) + "/" + isolation.Sanitize(o.name, 253)
}

// violators are the pods of one owner that violate a policy.
type violators struct {
	owner
	pods int
	// first is what is wrong with one of them, and more how many things are beside.
	first isolation.Violation
	more  int
}

// affected tells which pods that have not ended violate a policy, by their owners; on an update
// those that the old one did not hold it against. Who is exempt is not named. The pods are only
// told of: nothing happens to them at admission until they are created again.
func (p *population) affected(ctx context.Context, old, policy *isolation.Policy, now time.Time) ([]string, error) {
	var namespaces corev1.NamespaceList
	// Nothing here is written to.
	if err := p.cached.List(ctx, &namespaces, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list namespaces from the cache: %w", err)
	}
	pods, err := p.pods(ctx)
	if err != nil {
		return nil, err
	}
	sets := make(map[string]labels.Set, len(namespaces.Items))
	for i := range namespaces.Items {
		sets[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	if old != nil && severity(old.Action) < severity(policy.Action) {
		// What was only told of is now to be refused: that is new to all whom it meets.
		old = nil
	}
	found := map[owner]*violators{}
	for i, pod := range pods {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d pods judged: %w", i, len(pods), ctx.Err())
		}
		if pod.Ended() || slices.Contains(p.excluded, pod.Namespace) {
			continue
		}
		set, known := sets[pod.Namespace]
		s := pod.Subject(set)
		s.NamespaceUnknown = !known
		s.Created = now // as it would be judged if it were created again
		if wrong := newly(old, policy, s); len(wrong) > 0 {
			note(found, ownerOf(pod), wrong)
		}
	}
	return tell(policy.Action, found), nil
}

func severity(a v1alpha1.AdmissionAction) int {
	return slices.Index([]v1alpha1.AdmissionAction{v1alpha1.Audit, v1alpha1.Warn, v1alpha1.Deny}, a)
}

// newly are the violations of a policy that the old one did not see.
func newly(old, policy *isolation.Policy, s *isolation.Subject) []isolation.Violation {
	wrong := policy.Judge(s).Violations
	if len(wrong) == 0 || old == nil {
		return wrong
	}
	before := old.Judge(s).Violations
	return isolation.Without(wrong, before)
}

func note(found map[owner]*violators, o owner, wrong []isolation.Violation) {
	v := found[o]
	if v == nil {
		v = &violators{owner: o, first: wrong[0], more: len(wrong) - 1}
		found[o] = v
	}
	v.pods++
}

// ownerOf is what a pod belongs to; a pod that belongs to nothing is its own.
func ownerOf(pod *ledger.Pod) owner {
	c := metav1.GetControllerOfNoCopy(pod)
	if c == nil {
		return owner{"Pod", pod.Namespace, pod.Name}
	}
	hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if deployment, ok := strings.CutSuffix(c.Name, "-"+hash); ok && hash != "" && c.Kind == "ReplicaSet" {
		return owner{"Deployment", pod.Namespace, deployment}
	}
	return owner{c.Kind, pod.Namespace, c.Name}
}

// tell of the owners with the most pods, one line each, after a line with the totals.
func tell(action v1alpha1.AdmissionAction, found map[owner]*violators) []string {
	all, pods := make([]*violators, 0, len(found)), 0
	for _, v := range found {
		all = append(all, v)
		pods += v.pods
	}
	if pods == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *violators) int {
		return cmp.Or(cmp.Compare(b.pods, a.pods), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	will := map[v1alpha1.AdmissionAction]string{
		v1alpha1.Deny: "refused", v1alpha1.Warn: "admitted with a warning", v1alpha1.Audit: "admitted and audited",
	}
	out := []string{fmt.Sprintf("bulkhead: %s of %s violate this policy; they are not touched, and would be %s if they were created again:",
		count(pods, "pod"), count(len(all), "owner"), will[action])}
	for _, v := range all[:min(len(all), maxOwners)] {
		line := "bulkhead: " + v.String()
		if v.kind != "Pod" {
			line += " (" + count(v.pods, "pod") + ")"
		}
		more := ""
		if v.more > 0 {
			more = fmt.Sprintf(", and %d more", v.more)
		}
		out = append(out, clip(line+": "+v.first.Subject()+": "+v.first.Message, maxOwner-len(more))+more)
	}
	if left := len(all) - maxOwners; left > 0 {
		out = append(out, "bulkhead: ... and "+count(left, "more owner"))
	}
	return within(out, "", maxAffected)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
