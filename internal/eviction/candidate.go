// SPDX-License-Identifier: Apache-2.0

package eviction

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// Outcome is what becomes of a candidate. It is a label of metrics: there are no others.
type Outcome string

// What forbids an eviction for good, as long as the candidate stays as it is.
const (
	// NotBreached: the policy calls it breached no longer.
	NotBreached Outcome = "NotBreached"
	// Terminating: it is going already.
	Terminating Outcome = "Terminating"
	// Static: the kubelet runs it whatever the API server says.
	Static Outcome = "Static"
	// Excluded: it is in one of the installation's excluded namespaces, as Bulkhead itself is.
	Excluded Outcome = "Excluded"
	// Exempt: it needs an exemption of the policy. Such pods serve the cluster.
	Exempt Outcome = "Exempt"
	// Doubted: its node cannot see everything, or it is not known where its claims lead, and so not whether it
	// needs an exemption.
	Doubted Outcome = "Doubted"
	// AskedFor: its spec asks for what was observed, and another pod from it would, too.
	AskedFor Outcome = "AskedFor"
	// NeverMade: the spec promises nothing on the axis; another pod would get the same.
	NeverMade Outcome = "NoClaim"
	// Unblamed: it may be the victim of another pod.
	Unblamed Outcome = "Unblamed"
)

// What is in the way for now.
const (
	// Unconfirmed: the breach has not held for long enough, or the agent has not looked again since.
	Unconfirmed Outcome = "Unconfirmed"
	// CircuitOpen: too many would go.
	CircuitOpen Outcome = "CircuitOpen"
	// BackedOff: a pod of the same owner was evicted lately.
	BackedOff Outcome = "BackedOff"
	// GivenUp: pods of the owner come back the same, and are not evicted any more.
	GivenUp Outcome = "GivenUp"
	// HistoryFull: more owners are remembered than there is room for.
	HistoryFull Outcome = "HistoryFull"
	// RateLimited: it has to wait for its turn.
	RateLimited Outcome = "RateLimited"
	// Resting: it was tried a moment ago.
	Resting Outcome = "Resting"
)

// Evict: it is to be evicted.
const Evict Outcome = "Evict"

// What came of trying.
const (
	// Evicted: it was.
	Evicted Outcome = "Evicted"
	// Changed: pod, policy or report are no longer what was decided on.
	Changed Outcome = "Changed"
	// Disrupted: a PodDisruptionBudget, or the API server, does not allow it now.
	Disrupted Outcome = "Disrupted"
	// NotPermitted: the manager may not evict.
	NotPermitted Outcome = "NotPermitted"
	// NoHistory: what was evicted before is not known, or could not be written down.
	NoHistory Outcome = "NoHistory"
	// Failed: the API server could not.
	Failed Outcome = "Failed"
)

// Breach is one thing that is wrong with a pod, and that a pod in its place may be without.
type Breach struct {
	// Place is the axis or portal.
	Place string
	Kind  v1alpha1.FindingKind
	// Message is sanitised.
	Message string
}

// Candidate is a pod that a policy calls breached.
type Candidate struct {
	Policy Policy
	Pod    types.NamespacedName
	UID    types.UID
	Node   string
	// Owner stands for who made the pod, within its namespace. All pods of a namespace that nobody
	// controls have one.
	Owner string
	// Forbidden is why it is never evicted as it is; empty if nothing forbids it.
	Forbidden Outcome
	// Breaches by which it may be evicted, worst first; none if it is forbidden.
	Breaches []Breach
	// Claims and ClaimsUnknown are the subject's: where its claims led when it was examined.
	Claims        map[string][]isolation.NodeVolume
	ClaimsUnknown string
	// Renewed is when the agent of its node last said that it is alive, by its own clock.
	Renewed time.Time
	// OnNode and InNamespace are how many pods there are on its node and in its namespace.
	OnNode, InNamespace int
}

// Policy is one that evicts.
type Policy struct {
	UID        types.UID
	Name       string
	Generation int64
	// Matched is how many pods it matches.
	Matched int
}

// Examine makes a candidate of a pod as a policy sees it. excluded are the namespaces in which nothing
// is evicted.
func Examine(policy *isolation.Policy, pod *ledger.Pod, subject *isolation.Subject, sight isolation.Sight, excluded []string) Candidate {
	c := Candidate{
		Policy: Policy{UID: policy.UID, Name: policy.Name, Generation: policy.Generation},
		Pod:    types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name},
		UID:    pod.UID, Node: pod.Node, Owner: ownerOf(pod),
		Claims: subject.Claims, ClaimsUnknown: subject.ClaimsUnknown,
	}
	a := policy.Assess(subject, sight)
	breaches, promise := breachesOf(&a, subject, &sight)
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case a.Class != isolation.Breached:
		c.Forbidden = NotBreached
	case pod.DeletionTimestamp != nil || pod.Ended():
		c.Forbidden = Terminating
	case mirror:
		c.Forbidden = Static
	case slices.Contains(excluded, pod.Namespace):
		c.Forbidden = Excluded
	case len(a.Exempt) > 0:
		c.Forbidden = Exempt
	case sight.Doubt != "", subject.UnknownClaim() != "":
		c.Forbidden = Doubted
	case len(breaches) > 0:
		c.Breaches = breaches
	default:
		c.Forbidden = unhelpful[promise]
	}
	return c
}

// unhelpful is why it is of no use to evict a pod whose spec's promise was not broken.
var unhelpful = map[isolation.Promise]Outcome{
	isolation.NoBreach: NotBreached, isolation.AskedFor: AskedFor, isolation.NeverMade: NeverMade, isolation.Unblamed: Unblamed,
}

// breachesOf are the breaches that break what the spec promised, and how the first of the others stands
// to it.
func breachesOf(a *isolation.Assessment, subject *isolation.Subject, sight *isolation.Sight) (broken []Breach, other isolation.Promise) {
	for i := range a.Findings {
		f := &a.Findings[i]
		switch promise := subject.PromiseOf(f, &sight.Levels); {
		case promise == isolation.Broken:
			broken = append(broken, Breach{Place: string(f.Axis) + f.Portal, Kind: f.Kind, Message: f.Message})
		case other == isolation.NoBreach:
			other = promise
		}
	}
	return broken, other
}

// ownerOf is a key of bounded length: whoever creates a pod writes its owner's UID, as long as it likes.
// The namespace is part of it: nobody uses up the patience that is meant for the pods of others.
func ownerOf(pod *ledger.Pod) string {
	var controller types.UID
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		controller = owner.UID
	}
	sum := sha256.Sum256([]byte(pod.Namespace + "/" + string(controller)))
	return hex.EncodeToString(sum[:10])
}
