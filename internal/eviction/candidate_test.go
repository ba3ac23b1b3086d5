// SPDX-License-Identifier: Apache-2.0

package eviction_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/eviction"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

func TestWhatMayBeEvicted(t *testing.T) {
	for name, change := range map[string]func(*escaped){
		"less than the spec promised": func(*escaped) {},
		"an escape that the report names": func(e *escaped) {
			e.sight.Findings = []v1alpha1.NodeFinding{{Kind: v1alpha1.Escape, Axis: "pid", Observed: v1alpha1.LevelHost, Message: "it escaped"}}
		},
		"the intruder in another pod's namespace": func(e *escaped) {
			e.sight.Levels[isolation.PID] = isolation.Foreign
			e.sight.Findings = []v1alpha1.NodeFinding{{Kind: v1alpha1.Foreign, Axis: "pid", Observed: v1alpha1.LevelForeign, Message: "it entered"}}
		},
		"a portal that the policy forbids and nobody asked for": func(e *escaped) {
			e.policy.Spec.Portals = &v1alpha1.Portals{Devices: v1alpha1.PortalForbid}
			e.sight.Levels[isolation.PID] = isolation.Container
			e.sight.Findings = []v1alpha1.NodeFinding{{Kind: v1alpha1.Portal, Portal: "devices", Message: "/dev/sda"}}
		},
		"a leak": func(e *escaped) {
			e.policy.Spec.Isolation = &v1alpha1.Isolation{Mount: "Container"}
			e.sight.Findings = []v1alpha1.NodeFinding{{Kind: v1alpha1.Leak, Message: "its cwd"}}
		},
		"one axis that was asked for, and one where the promise was broken": func(e *escaped) {
			e.pod.Spec.HostPID = true
			e.sight.Levels[isolation.Network] = isolation.Host
		},
		"a pod of a DaemonSet": func(e *escaped) { e.pod.OwnerReferences[0].Kind = "DaemonSet" },
		"a pod that says a node controls it, without being a mirror": func(e *escaped) {
			e.pod.OwnerReferences[0] = metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: "one", UID: "uid-one", Controller: ptr.To(true)}
		},
		"a pod that nobody controls": func(e *escaped) { e.pod.OwnerReferences = nil },
	} {
		t.Run(name, func(t *testing.T) {
			e := anEscape()
			change(e)
			c := e.examine()
			g := NewWithT(t)
			g.Expect(c.Forbidden).To(BeEmpty())
			g.Expect(c.Breaches).NotTo(BeEmpty())
		})
	}
}

func TestWhatIsNeverEvicted(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*escaped)
		want   eviction.Outcome
	}{
		"what is as required": {func(e *escaped) { e.sight.Levels[isolation.PID] = isolation.Container }, eviction.NotBreached},
		"what nobody saw":     {func(e *escaped) { e.sight = isolation.Sight{Unseen: "its agent has been silent"} }, eviction.NotBreached},
		"what could not be read": {func(e *escaped) {
			e.sight.Levels[isolation.PID] = isolation.Unknown
		}, eviction.NotBreached},
		"what is going":    {func(e *escaped) { e.pod.DeletionTimestamp = &metav1.Time{Time: now} }, eviction.Terminating},
		"a static pod":     {func(e *escaped) { e.pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, eviction.Static},
		"what is excluded": {func(e *escaped) { e.outside = []string{"bulkhead-system", "shop"} }, eviction.Excluded},
		"what needs an exemption, whatever else it does": {func(e *escaped) {
			e.pod.Spec.HostNetwork = true
			e.sight.Levels[isolation.Network] = isolation.Host
			e.policy.Spec.Exemptions = []v1alpha1.Exemption{{Name: "x", Reason: "r", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{Network: "Host"}}}
		}, eviction.Exempt},
		"what needs an exemption for where its claim leads": {func(e *escaped) {
			storage(e)
			e.claims = map[string][]isolation.NodeVolume{"data": {{Name: "pv", Source: "local", Path: "/srv/data"}}}
		}, eviction.Exempt},
		"what may need one, for where its claim leads is not known": {func(e *escaped) {
			storage(e)
			e.unknown = "PersistentVolumes cannot be read"
		}, eviction.Doubted},
		"what a degraded node reports": {func(e *escaped) { e.sight.Doubt = "node one is degraded" }, eviction.Doubted},
		"what its spec asks for":       {func(e *escaped) { e.pod.Spec.HostPID = true }, eviction.AskedFor},
		"a cgroup that no spec promises": {func(e *escaped) {
			e.policy.Spec.Isolation = &v1alpha1.Isolation{Cgroup: "Container"}
			e.sight.Levels[isolation.Cgroup] = isolation.Host
		}, eviction.NeverMade},
		"who is in another pod's namespace, and is not blamed": {func(e *escaped) { e.sight.Levels[isolation.PID] = isolation.Foreign }, eviction.Unblamed},
	} {
		t.Run(name, func(t *testing.T) {
			e := anEscape()
			test.change(e)
			c := e.examine()
			g := NewWithT(t)
			g.Expect(c.Forbidden).To(Equal(test.want))
			g.Expect(c.Breaches).To(BeEmpty())
			d := eviction.Decide(held(c))
			g.Expect(d).To(HaveLen(1))
			g.Expect(d[0].Outcome).To(Equal(test.want))
			g.Expect(d[0].Why).NotTo(BeEmpty())
		})
	}
}

// storage has a claim, and may have a part of the node by it.
func storage(e *escaped) {
	ledgertest.Claiming(&e.pod, "data")
	e.policy.Spec.Portals = &v1alpha1.Portals{HostPaths: &v1alpha1.HostPathsPortal{}}
	e.policy.Spec.Exemptions = []v1alpha1.Exemption{{Name: "x", Reason: "r", Namespaces: []string{"shop"}, Portals: &v1alpha1.ExemptPortals{
		HostPaths: &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/srv"}}},
	}}}
}

func TestACandidateKnowsWhereItsClaimsLead(t *testing.T) {
	g := NewWithT(t)
	e := anEscape()
	storage(e)
	e.claims = map[string][]isolation.NodeVolume{"data": {{Name: "pv", Source: "local", Path: "/srv/data"}}}
	e.unknown = "not all can be read"
	g.Expect(e.examine()).To(SatisfyAll(HaveField("Claims", e.claims), HaveField("ClaimsUnknown", e.unknown)), "who looks again cannot read that")
}

func TestAnOwnerIsOneWithinItsNamespace(t *testing.T) {
	g := NewWithT(t)
	owner := func(change func(*escaped)) string {
		e := anEscape()
		change(e)
		return e.examine().Owner
	}
	same := func(*escaped) {}
	nobody := func(e *escaped) { e.pod.OwnerReferences = nil }
	g.Expect(owner(same)).To(Equal(owner(func(e *escaped) { e.pod.Name, e.pod.UID = "b", "uid-b" })))
	g.Expect(owner(same)).NotTo(Equal(owner(func(e *escaped) { e.pod.Namespace = "lab" })), "nobody uses up the patience for others")
	g.Expect(owner(same)).NotTo(Equal(owner(nobody)))
	g.Expect(owner(nobody)).To(Equal(owner(func(e *escaped) { e.pod.OwnerReferences, e.pod.Name = nil, "b" })))
	g.Expect(len(owner(func(e *escaped) { e.pod.OwnerReferences[0].UID = types.UID(strings.Repeat("x", 1<<20)) }))).To(Equal(len(owner(same))))
}
