// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// withoutPaths is a policy that allows no host path.
func withoutPaths() v1alpha1.IsolationPolicy {
	p := ledgertest.Demanding("tenants")
	p.Spec.Portals = &v1alpha1.Portals{HostPaths: &v1alpha1.HostPathsPortal{}}
	return p
}

// claiming are pods that are well, each with a claim of its own: pod-0 has claim-0.
func claiming(n int) ledgertest.Scene {
	s := ledgertest.World()
	var names []string
	for i := range n {
		pod := ledgertest.Running(fmt.Sprintf("pod-%d", i), time.Hour)
		ledgertest.Claiming(&pod, fmt.Sprintf("claim-%d", i))
		s.Pods = append(s.Pods, pod)
		names = append(names, pod.Name)
	}
	s.Reports["one"] = ledgertest.Report("one", ledgertest.Group(ledgertest.Isolated, names...))
	return s
}

func TestAPodViolatesFromWhenItsClaimLeadsToTheNodeUntilItDoesNot(t *testing.T) {
	g := NewWithT(t)
	s, p := claiming(2), withoutPaths()
	l := s.Ledger(ledgertest.Now, p)
	compliant := v1alpha1.PodCounts{Matched: 2, Compliant: 2}
	violating := v1alpha1.PodCounts{Matched: 2, Violating: 1, Compliant: 1}
	g.Expect(l.Standing(p.UID).Pods).To(Equal(compliant))

	l.SetVolume(ledgertest.NodeVolume("pv", "/srv", "shop", "claim-1"))
	g.Expect(l.Standing(p.UID).Pods).To(Equal(violating))
	g.Expect(l.Standing(p.UID).Findings).To(ConsistOf(SatisfyAll(
		HaveField("Pod", "pod-1"), HaveField("Kind", v1alpha1.Violation), HaveField("Portal", "hostPaths"),
		HaveField("Message", "spec.volumes[0].persistentVolumeClaim is hostPath /srv of PersistentVolume pv, which is not allowed: use a volume of another type; allowed none"))))

	free := ledgertest.NodeVolume("pv", "/srv", "shop", "claim-1")
	free.Status.Phase = corev1.VolumeAvailable
	l.SetVolume(free)
	g.Expect(l.Standing(p.UID).Pods).To(Equal(compliant))

	l.SetVolume(ledgertest.NodeVolume("pv", "/srv", "shop", "claim-0"))
	l.SetVolume(ledgertest.NodeVolume("pv", "/srv", "shop", "claim-1"))
	g.Expect(l.Standing(p.UID).Findings).To(ConsistOf(HaveField("Pod", "pod-1")), "it was bound to another claim meanwhile")
	l.DeleteVolume("pv")
	g.Expect(l.Standing(p.UID).Pods).To(Equal(compliant))

	l.SetVolume(ledgertest.NodeVolume("pv", "/srv", "lab", "claim-1"))
	g.Expect(l.Standing(p.UID).Pods).To(Equal(compliant), "a claim of that name in another namespace is another")
}

func TestWhoTakesTheClaimFromUnderARunningPodDoesNotMakeItCompliant(t *testing.T) {
	g := NewWithT(t)
	s, p := claiming(1), withoutPaths()
	younger := *s.Pods[0].DeepCopy()
	younger.Name, younger.UID, younger.CreationTimestamp = "younger", "uid-younger", metav1.NewTime(ledgertest.Now)
	s.Pods = append(s.Pods, younger)
	l := s.Ledger(ledgertest.Now, p)
	released := ledgertest.NodeVolume("pv", "/srv", "shop", "claim-0")
	released.Status.Phase, released.Status.LastPhaseTransitionTime = corev1.VolumeReleased, &metav1.Time{Time: ledgertest.Now.Add(-time.Minute)}
	l.SetVolume(released)
	g.Expect(l.Standing(p.UID).Findings).To(ContainElement(SatisfyAll(HaveField("Pod", "pod-0"), HaveField("Kind", v1alpha1.Violation))), "it has the volume mounted all the same")
	g.Expect(l.Standing(p.UID).Pods.Violating).To(BeEquivalentTo(1), "one that came after has another volume, or none")

	released.Status.LastPhaseTransitionTime = nil
	l.SetVolume(released)
	g.Expect(l.Standing(p.UID).Pods.Violating).To(BeEquivalentTo(2), "where it is not known who came after")
}

func TestWhileVolumesAreNotKnownPodsWithClaimsAreNotVerified(t *testing.T) {
	g := NewWithT(t)
	s, p := claiming(2), withoutPaths()
	s.Pods = append(s.Pods, ledgertest.Running("without", time.Hour))
	s.Reports["one"].Status.Groups[0].Pods = append(s.Reports["one"].Status.Groups[0].Pods, v1alpha1.ObservedPod{UID: "uid-without"})
	s.VolumesUnknown = "the manager may not read PersistentVolumes"
	l := s.Ledger(ledgertest.Now, p)
	g.Expect(l.Standing(p.UID).Pods).To(Equal(v1alpha1.PodCounts{Matched: 3, Unverified: 2, Compliant: 1}))
	g.Expect(l.Standing(p.UID).Verified.Message).To(ContainSubstring("the manager may not read PersistentVolumes"))
	l.SetVolumesUnknown("")
	g.Expect(l.Standing(p.UID).Pods).To(Equal(v1alpha1.PodCounts{Matched: 3, Compliant: 3}))
}

// Allocations stand for the work that is done: they do not depend on the machine.
func TestAVolumesChangeCostsWhatItsClaimConcerns(t *testing.T) {
	if raced || testing.CoverMode() != "" {
		t.Skip("the race detector and coverage allocate as well: make test runs it without")
	}
	cost := func(pods int) float64 {
		s, p := claiming(pods), withoutPaths()
		l := s.Ledger(ledgertest.Now, p)
		pv := ledgertest.NodeVolume("pv", "/srv", "shop", "claim-1")
		return testing.AllocsPerRun(100, func() {
			l.SetVolume(pv)
			l.DeleteVolume("pv")
		})
	}
	if small, large := cost(5), cost(500); large != small {
		t.Errorf("%v allocations among 5 pods, %v among 500", small, large)
	}
}

func TestNothingIsKeptOfVolumesThatShowNothingOfANode(t *testing.T) {
	g := NewWithT(t)
	l := ledger.New(ledgertest.Now)
	pv := ledgertest.NodeVolume("pv", "/srv", "elsewhere", "data")
	pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d"}}
	l.SetVolume(pv)
	l.SetVolume(ledgertest.NodeVolume("other", "/srv", "elsewhere", "data"))
	l.DeleteVolume("other")
	g.Expect(*l).To(Equal(*ledger.New(ledgertest.Now)))
}
