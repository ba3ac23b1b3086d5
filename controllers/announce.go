// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// Reasons of events. What begins has the kind of the finding as its reason.
const (
	// reasonRestored: what was found is no longer so.
	reasonRestored = "IsolationRestored"
	// reasonLifted: it may still be so, but the policy no longer minds.
	reasonLifted = "RequirementLifted"
	// reasonExpired: an exemption covers no pod that is created from now on.
	reasonExpired = "ExemptionExpired"
)

// place is where something is wrong: with which pod, on which axis or portal. What is wrong there can
// become worse or better without having ended.
type place struct {
	pod    types.UID
	axis   v1alpha1.Axis
	portal string
}

func placeOf(f *v1alpha1.PolicyFinding) place { return place{f.UID, f.Axis, f.Portal} }

// memory are findings of whose beginning was told and that no status holds, those of one policy: it could not be
// written yet, or they were pushed out of its lists by worse ones. The next leader does not know of them.
type memory map[place]v1alpha1.PolicyFinding

// maxMemory is how many findings are kept of one policy beside its status: the worst.
const maxMemory = 1000

// announce tells what began and what ended between what the policy's status held and what holds now, and
// which findings are out of sight from then on: nobody can see any more whether they last, so they have neither
// ended, nor are they to be told again when they are back. It is pure. The status is the memory, so that nothing is
// told again by the next leader; what does not fit into its list is told when it moves up into it, and kept in
// mind when it is pushed out of it again. turn names the status.
//
// Nothing is told of pods that nobody has seen: what is wrong there is the node's agent, and the
// policy's condition Verified tells it once.
func announce(v *verdict, books *ledger.Ledger, kept memory, turn string) *telling {
	s := &v.policy.Status
	t := &telling{
		v: v, books: books, turn: turn, pods: make(map[types.UID]*podNow), kept: memory{}, begun: memory{},
		before: slices.Concat(s.Findings, s.OutOfSight, slices.Collect(maps.Values(kept))),
	}
	// Of a place the worst that was told decides.
	slices.SortFunc(t.before, worseFirst)
	if !v.invalid {
		t.began()
		t.expired()
	}
	t.ended()
	t.settle()
	t.turned(v1alpha1.ConditionEnforced)
	t.turned(v1alpha1.ConditionVerified)
	t.turned(v1alpha1.ConditionEvictionReady)
	return t
}

// unwritten is what is to be kept if the status could not be written: what was told of the beginning is
// known, and its end is to be told.
func (t *telling) unwritten(kept memory) memory {
	all := maps.Clone(t.begun)
	maps.Copy(all, kept)
	return all
}

// telling is the work of one announce.
type telling struct {
	v     *verdict
	books *ledger.Ledger
	turn  string
	// before is what was told of and has not ended, as far as was known until now.
	before []v1alpha1.PolicyFinding
	// pods that were asked for.
	pods map[types.UID]*podNow
	// unseen are the findings out of sight from now on, worst first, as many as a status holds.
	unseen []v1alpha1.PolicyFinding
	// kept are those that last and that the status does not hold.
	kept memory
	// begun are the findings of whose beginning out tells.
	begun memory
	out   []announcement
}

// podNow is what the policy says now of a pod.
type podNow struct {
	// holds are the places where something is wrong, shown those of them where an agent saw it.
	holds, shown map[place]bool
	// matched is set if the policy matches the pod, unseen if not everything of it is seen, unbound if it is
	// not known what its claims are bound to.
	matched, unseen, unbound bool
}

func (t *telling) now(pod types.UID) *podNow {
	if known := t.pods[pod]; known != nil {
		return known
	}
	now := &podNow{holds: make(map[place]bool), shown: make(map[place]bool)}
	var findings []v1alpha1.PolicyFinding
	findings, now.matched = t.books.Of(t.v.policy.UID, pod)
	for i := range findings {
		switch f := &findings[i]; f.Kind {
		case v1alpha1.Unverified:
			now.unseen = true
			now.unbound = now.unbound || f.Portal == isolation.PortalClaims
		case v1alpha1.Violation:
			now.holds[placeOf(f)] = true
		default:
			now.holds[placeOf(f)], now.shown[placeOf(f)] = true, true
		}
	}
	t.pods[pod] = now
	return now
}

type beginning struct {
	place
	kind v1alpha1.FindingKind
}

// began tells what is listed now and was not before. What is wrong several times with the same place
// of a pod is told once. That a spec asks for what was seen is not told after that: it is listed once nobody sees it
// any more.
func (t *telling) began() {
	known := make(map[beginning]bool)
	for i := range t.before {
		if f := &t.before[i]; f.Kind != v1alpha1.Unverified {
			known[beginning{placeOf(f), f.Kind}], known[beginning{placeOf(f), v1alpha1.Violation}] = true, true
		}
	}
	for i := range t.v.status.Findings {
		f := &t.v.status.Findings[i]
		b := beginning{placeOf(f), f.Kind}
		if f.Kind == v1alpha1.Unverified || known[b] {
			continue
		}
		known[b] = true
		t.begun[b.place] = *f
		t.tell(f, corev1.EventTypeWarning, string(f.Kind), t.messages(b))
	}
}

// messages are those of all listed findings of the same beginning.
func (t *telling) messages(b beginning) string {
	var all []string
	for i := range t.v.status.Findings {
		if f := &t.v.status.Findings[i]; placeOf(f) == b.place && f.Kind == b.kind && !slices.Contains(all, f.Message) {
			all = append(all, f.Message)
		}
	}
	return strings.Join(all, "; ")
}

// ended tells what was told of before and holds no longer.
func (t *telling) ended() {
	listed := make(map[place]bool)
	for i := range t.v.status.Findings {
		if f := &t.v.status.Findings[i]; f.Kind != v1alpha1.Unverified {
			listed[placeOf(f)] = true
		}
	}
	done := make(map[place]bool)
	for i := range t.before {
		f := &t.before[i]
		p := placeOf(f)
		if f.Kind == v1alpha1.Unverified || done[p] || !t.books.Exists(f.UID) {
			continue
		}
		now := t.now(f.UID)
		switch {
		case t.v.invalid, f.Kind != v1alpha1.Violation && now.matched && now.unseen && !now.shown[p], f.Portal != "" && now.matched && now.unbound && !now.holds[p]:
			t.unseen = append(t.unseen, *f)
		case listed[p]:
		case now.holds[p]:
			t.kept[p] = *f
		case !now.matched || t.v.policy.Status.ObservedGeneration != t.v.policy.Generation:
			t.tell(f, corev1.EventTypeNormal, reasonLifted, "no longer against the policy: "+f.Message)
		default:
			t.tell(f, corev1.EventTypeNormal, reasonRestored, "no longer so: "+f.Message)
		}
		done[p] = true
	}
}

// settle keeps in mind what the status has no room for, within bounds.
func (t *telling) settle() {
	slices.SortFunc(t.unseen, worseFirst)
	for room := v1alpha1.MaxPolicyFindings; len(t.unseen) > room; t.unseen = t.unseen[:len(t.unseen)-1] {
		f := &t.unseen[len(t.unseen)-1]
		t.kept[placeOf(f)] = *f
	}
	if len(t.kept) <= maxMemory {
		return
	}
	all := slices.SortedFunc(maps.Values(t.kept), worseFirst)
	for i := range all[maxMemory:] {
		delete(t.kept, placeOf(&all[maxMemory+i]))
	}
}

// worseFirst orders findings as the lists of a status are.
func worseFirst(a, b v1alpha1.PolicyFinding) int {
	return cmp.Or(cmp.Compare(isolation.Severity(a.Kind), isolation.Severity(b.Kind)),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod),
		cmp.Compare(a.Axis, b.Axis), cmp.Compare(a.Portal, b.Portal))
}

// turned tells on the policy that a condition became True, or is no longer so although the policy is
// the same.
func (t *telling) turned(condition string) {
	before := meta.FindStatusCondition(t.v.policy.Status.Conditions, condition)
	now := meta.FindStatusCondition(t.v.status.Conditions, condition)
	if before == nil || now == nil || before.Status == now.Status {
		return
	}
	a := announcement{regarding: t.v.reference(), action: "Judge", turn: t.turn, note: isolation.Sanitize(now.Message, maxNote)}
	switch {
	case now.Status == metav1.ConditionTrue:
		a.kind, a.reason = corev1.EventTypeNormal, condition
	case now.Status == metav1.ConditionFalse && before.ObservedGeneration == now.ObservedGeneration:
		a.kind, a.reason = corev1.EventTypeWarning, "Not"+condition
	default:
		return
	}
	t.out = append(t.out, a)
}

// expired tells on the policy which exemptions ended since the last time. One that had ended when it
// was first seen is told nobody: the webhook warned who applied it.
func (t *telling) expired() {
	before := make(map[string]v1alpha1.ExemptionState)
	for _, e := range t.v.policy.Status.Exemptions {
		before[e.Name] = e.State
	}
	for _, e := range t.v.status.Exemptions {
		was, known := before[e.Name]
		if e.State != v1alpha1.ExemptionExpired || !known || was == v1alpha1.ExemptionExpired {
			continue
		}
		note := fmt.Sprintf("exemption %s has expired: pods that are created from now on are not covered, %d of those that exist still are", e.Name, e.Pods)
		t.out = append(t.out, announcement{
			regarding: t.v.reference(), kind: corev1.EventTypeWarning, reason: reasonExpired, action: "Judge/" + e.Name,
			turn: t.turn, note: isolation.Sanitize(note, maxNote),
		})
	}
}

// tell adds an event on a pod. The action names the axis or portal: events that differ in nothing
// else are counted as one.
func (t *telling) tell(f *v1alpha1.PolicyFinding, kind, reason, message string) {
	subject := string(f.Axis) + f.Portal
	note := "policy " + t.v.policy.Name + ", " + subject + ": " + message
	t.out = append(t.out, announcement{
		regarding: &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: f.Namespace, Name: f.Pod, UID: f.UID},
		related:   t.v.reference(),
		kind:      kind, reason: reason, action: "Judge/" + subject, turn: t.turn,
		note: isolation.Sanitize(note, maxNote),
	})
}

func (v *verdict) reference() *corev1.ObjectReference {
	return referenceTo(v.policy.Name, v.policy.UID)
}

// referenceTo is a policy, to tell events of it.
func referenceTo(policy string, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "IsolationPolicy", Name: policy, UID: uid}
}
