// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
)

// server is an API server at a moment at which anything may be so: what is read, and what is answered to
// each eviction.
type server struct {
	client.Client
	policy    v1alpha1.IsolationPolicy
	pod       *corev1.Pod
	namespace *corev1.Namespace
	report    *v1alpha1.NodeIsolationReport
	alive     time.Time
	history   *coordinationv1.Lease
	unwilling error
	permitted bool
	answers   []error
	// written is what was, of evictions and of the history, in order.
	written []string
}

func (s *server) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	gone := apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	switch into := into.(type) {
	case *v1alpha1.IsolationPolicy:
		s.policy.DeepCopyInto(into)
	case *corev1.Pod:
		if s.pod == nil {
			return gone
		}
		s.pod.DeepCopyInto(into)
	case *corev1.Namespace:
		if s.namespace == nil {
			return gone
		}
		s.namespace.DeepCopyInto(into)
	case *v1alpha1.NodeIsolationReport:
		if s.report == nil || s.report.Name != key.Name {
			return gone
		}
		s.report.DeepCopyInto(into)
	case *coordinationv1.Lease:
		if key.Name == v1alpha1.EvictionsLeaseName {
			if s.history == nil {
				return gone
			}
			s.history.DeepCopyInto(into)
			return nil
		}
		into.Labels = map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseAgent}
		into.Spec.RenewTime = ptr.To(metav1.NewMicroTime(s.alive))
	default:
		return fmt.Errorf("nobody should read %T", into)
	}
	return nil
}

func (s *server) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	switch o := o.(type) {
	case *authorizationv1.SelfSubjectAccessReview:
		o.Status.Allowed = s.permitted
		return nil
	case *coordinationv1.Lease:
		return s.keep(o)
	}
	return fmt.Errorf("nobody should create %T", o)
}

func (s *server) Update(_ context.Context, o client.Object, _ ...client.UpdateOption) error {
	lease, ok := o.(*coordinationv1.Lease)
	if !ok {
		return fmt.Errorf("nobody should update %T", o)
	}
	return s.keep(lease)
}

func (s *server) keep(lease *coordinationv1.Lease) error {
	if s.unwilling != nil {
		return s.unwilling
	}
	s.history = lease.DeepCopy()
	s.written = append(s.written, "history")
	return nil
}

func (s *server) SubResource(name string) client.SubResourceClient {
	return evictions{server: s, name: name}
}

type evictions struct {
	client.SubResourceClient
	server *server
	name   string
}

func (e evictions) Create(_ context.Context, pod, _ client.Object, _ ...client.SubResourceCreateOption) error {
	e.server.written = append(e.server.written, e.name+" of "+pod.GetName())
	if len(e.server.answers) == 0 {
		return nil
	}
	answer := e.server.answers[0]
	e.server.answers = e.server.answers[1:]
	return answer
}

// breached is a server with a pod that is to be evicted, and the evictor that has seen so for a minute.
type breached struct {
	*server
	*evictor
	// known is the policy as the cache has it.
	known  v1alpha1.IsolationPolicy
	events *told
	clock  *clocktesting.FakePassiveClock
	scene  *scene
}

func aBreach() *breached {
	policy := demanding("all")
	policy.Spec.Runtime.Action = v1alpha1.Evict
	pod := running("a", time.Hour)
	s := &server{
		policy: policy, pod: &pod, namespace: &corev1.Namespace{}, report: report("one", group(onHostPID(), "a")),
		alive: now.Add(80 * time.Second), permitted: true,
	}
	b := &breached{server: s, known: *policy.DeepCopy(), events: &told{}, clock: clocktesting.NewFakePassiveClock(now), scene: world()}
	o := Options{InstallNamespace: "bulkhead-system", Clock: b.clock, Eviction: ptr.To(eviction.DefaultLimits())}
	b.evictor = newEvictor(s, s, b.events, &o, options.Excluded)
	b.scene.Pods = []corev1.Pod{pod}
	b.scene.Reports["one"] = s.report.DeepCopy()
	b.look(now)
	b.written, *b.events = nil, nil
	b.scene.Agents["one"] = s.alive
	return b
}

// look has the evictor make a round.
func (b *breached) look(at time.Time) {
	b.clock.SetTime(at)
	policies := []v1alpha1.IsolationPolicy{b.known}
	b.pass(context.Background(), offerFrom(policies, b.scene.Ledger(at, policies...)))
}

func (b *breached) ready() metav1.Condition { return b.conditions()["uid-all"] }

func TestAnEvictionIsTriedThenWrittenDownThenDone(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	b.look(now.Add(90 * time.Second))
	g.Expect(b.written).To(Equal([]string{"eviction of a", "history", "eviction of a"}))
	g.Expect(*b.events).To(ConsistOf("Evicted", "Evicted"))
	g.Expect(b.ready().Status).To(Equal(metav1.ConditionTrue))
}

func TestNothingIsEvictedThatIsNotSoWhenLookedAtAgain(t *testing.T) {
	for name, change := range map[string]func(*breached){
		"the policy reports only": func(b *breached) { b.policy.Spec.Runtime.Action = v1alpha1.Report },
		"the policy was edited":   func(b *breached) { b.policy.Generation++ },
		"the policy is another":   func(b *breached) { b.policy.UID = "uid-other" },
		"the pod is gone":         func(b *breached) { b.pod = nil },
		"another pod has its name, and escaped, too": func(b *breached) {
			b.pod.UID = "uid-b"
			b.report = report("one", group(onHostPID(), "a", "b"))
		},
		"the pod is on another node, which says the same": func(b *breached) {
			b.pod.Spec.NodeName = "two"
			b.report = report("two", group(onHostPID(), "a"))
		},
		"the pod is going":                func(b *breached) { b.pod.DeletionTimestamp = &metav1.Time{Time: now} },
		"the pod has ended":               func(b *breached) { b.pod.Status.Phase = corev1.PodFailed },
		"the spec asks for it":            func(b *breached) { b.pod.Spec.HostPID = true },
		"its namespace is not matched":    func(b *breached) { b.policy.Spec.Match = sharedOnly() },
		"the report says otherwise":       func(b *breached) { b.report = report("one", group(isolated, "a")) },
		"the report does not name it":     func(b *breached) { b.report = report("one") },
		"there is no report":              func(b *breached) { b.report = nil },
		"the report says something else":  func(b *breached) { b.report = report("one", group(onHostNetwork(), "a")) },
		"the agent is silent":             func(b *breached) { b.alive = now.Add(-time.Hour) },
		"the agent is not ready":          func(b *breached) { turn(b.report, v1alpha1.ConditionReady, metav1.ConditionFalse) },
		"the agent cannot see everything": func(b *breached) { turn(b.report, v1alpha1.ConditionDegraded, metav1.ConditionTrue) },
		"the policy cannot be compiled":   func(b *breached) { b.policy.Spec.Isolation.PID = "Never" },
		"an exemption covers it now":      func(b *breached) { b.policy.Spec.Exemptions = exemptFromPID() },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b := aBreach()
			change(b)
			b.look(now.Add(90 * time.Second))
			g.Expect(b.written).To(BeEmpty())
			g.Expect(b.rests).To(HaveKey(types.UID("uid-a")))
			g.Expect(*b.events).NotTo(ContainElement("Evicted"))
		})
	}
}

func sharedOnly() *v1alpha1.PolicyMatch {
	return &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}}
}

func exemptFromPID() []v1alpha1.Exemption {
	return []v1alpha1.Exemption{{Name: "x", Reason: "r", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}}}
}

func onHostNetwork() v1alpha1.Levels {
	l := isolated
	l.Network = v1alpha1.LevelHost
	return l
}

func turn(r *v1alpha1.NodeIsolationReport, condition string, status metav1.ConditionStatus) {
	meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: condition, Status: status, Reason: "Any"})
}

func TestWhatTheAPIServerAnswersToAnEviction(t *testing.T) {
	resource := schema.GroupResource{Resource: "pods"}
	for name, test := range map[string]struct {
		answers []error
		written []string
		events  []string
	}{
		"a budget is in the way":                  {[]error{apierrors.NewTooManyRequests("budget", 0)}, []string{"eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
		"the pod is gone":                         {[]error{apierrors.NewNotFound(resource, "a")}, []string{"eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
		"another pod has its name":                {[]error{apierrors.NewConflict(resource, "a", errors.New("UID"))}, []string{"eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
		"it may not":                              {[]error{apierrors.NewForbidden(resource, "a", errors.New("no"))}, []string{"eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
		"it breaks":                               {[]error{errors.New("broken")}, []string{"eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
		"a budget is used up in between":          {[]error{nil, apierrors.NewTooManyRequests("budget", 0)}, []string{"eviction of a", "history", "eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
		"nobody knows whether it was done or not": {[]error{nil, errors.New("connection lost")}, []string{"eviction of a", "history", "eviction of a"}, []string{"NotEvicted", "NotEvicted"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b := aBreach()
			b.answers = test.answers
			b.look(now.Add(90 * time.Second))
			g.Expect(b.written).To(Equal(test.written))
			g.Expect(*b.events).To(ConsistOf(test.events))
			// It is let alone for a while, and then tried again unless it was written down.
			b.written = nil
			b.look(now.Add(100 * time.Second))
			g.Expect(b.written).To(BeEmpty())
			b.scene.Agents["one"] = now.Add(160 * time.Second)
			b.look(now.Add(160 * time.Second))
			if len(test.written) > 1 {
				g.Expect(b.written).To(BeEmpty(), "what was written down counts")
			} else {
				g.Expect(b.written).To(Equal([]string{"eviction of a", "history", "eviction of a"}))
			}
		})
	}
}

func TestWhoMayNotEvictAsksSeldomAndSaysSoOnce(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	b.permitted = false
	b.permission.doubt()
	for i := range 10 {
		b.look(now.Add(90*time.Second + time.Duration(i)*5*time.Second))
	}
	g.Expect(b.written).To(BeEmpty())
	g.Expect(*b.events).To(ConsistOf("NotEvicted", "NotEvicted"))
	g.Expect(b.ready()).To(SatisfyAll(
		HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonNotPermitted), HaveField("Message", ContainSubstring("config/components/eviction"))))
}

func TestNothingIsEvictedThatCannotBeWrittenDown(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	b.unwilling = apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "bulkhead-evictions", errors.New("another leader wrote it"))
	b.look(now.Add(90 * time.Second))
	g.Expect(b.written).To(Equal([]string{"eviction of a"}), "that was a trial")
	g.Expect(b.ready()).To(SatisfyAll(HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonNoHistory)))
}

func TestANodeSaysNothingOfPodsThatAreElsewhere(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	elsewhere := running("b", time.Hour)
	elsewhere.Spec.NodeName = "two"
	b.scene.Pods = append(b.scene.Pods, elsewhere)
	b.scene.Reports["one"] = report("one", group(onHostPID(), "a", "b"))
	b.scene.Reports["two"] = report("two", group(isolated, "b"))
	b.scene.Agents["two"] = b.alive
	policies := []v1alpha1.IsolationPolicy{b.policy}
	all := offerFrom(policies, b.scene.Ledger(now, policies...)).candidates(nil)
	g.Expect(all).To(ConsistOf(HaveField("Pod.Name", "a")))
}

func TestWhatAPolicySaysOfEvictions(t *testing.T) {
	g := NewWithT(t)
	in := world()
	p := demanding("all")
	ready := func() *metav1.Condition {
		return meta.FindStatusCondition(judgeOne(in, p).status.Conditions, v1alpha1.ConditionEvictionReady)
	}
	g.Expect(ready()).To(BeNil())
	p.Spec.Runtime.Action = v1alpha1.Evict
	g.Expect(ready()).To(HaveField("Status", metav1.ConditionUnknown))
	in.Evictions = map[types.UID]metav1.Condition{p.UID: {Type: v1alpha1.ConditionEvictionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonArmed, ObservedGeneration: 1}}
	g.Expect(ready()).To(HaveField("Status", metav1.ConditionTrue))
	p.Generation = 2
	g.Expect(ready()).To(HaveField("Status", metav1.ConditionUnknown), "what was said of another generation says nothing")
	p.Status = judgeOne(in, p).status
	p.Spec.Runtime.Action = v1alpha1.Report
	g.Expect(ready()).To(BeNil())
}

func TestAnOfferThatWasNotTakenIsReplaced(t *testing.T) {
	g := NewWithT(t)
	b := aBreach()
	first, second := &offer{pods: 1}, &offer{pods: 2}
	b.take(first)
	b.take(second)
	g.Expect(b.offers).To(Receive(Equal(second)))
	g.Expect(b.offers).NotTo(Receive())
}

func TestAPolicyIsNotArmedWhileWhatItCallsBreachedIsNotEvicted(t *testing.T) {
	all := &offer{policies: []offeredPolicy{{Policy: eviction.Policy{UID: "a"}}, {Policy: eviction.Policy{UID: "b"}}}}
	for outcome, reason := range map[eviction.Outcome]string{
		eviction.CircuitOpen: v1alpha1.ReasonCircuitOpen, eviction.HistoryFull: v1alpha1.ReasonHistoryFull, eviction.Unconfirmed: v1alpha1.ReasonArmed,
	} {
		g := NewWithT(t)
		e := &evictor{permission: permission{granted: true}}
		e.judge(all, []eviction.Decision{{Candidate: &eviction.Candidate{Policy: eviction.Policy{UID: "a"}}, Outcome: outcome, Why: "because"}}, &evictionBook{})
		g.Expect(e.conditions()["a"].Reason).To(Equal(reason))
		g.Expect(e.conditions()["b"].Reason).To(Equal(v1alpha1.ReasonArmed))
	}
}
