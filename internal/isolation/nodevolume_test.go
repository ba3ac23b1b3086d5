// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// claimedPod is a pod with a claim and one of its own, both of which a container mounts.
const claimedPod = `
containers: [{name: app, volumeMounts: [{name: v, mountPath: /v}, {name: own, mountPath: /own, readOnly: true}]}]
volumes: [{name: v, persistentVolumeClaim: {claimName: data}}, {name: own, ephemeral: {}}]`

// bound are claims that lead to these paths of the node.
func bound(paths map[string]string) map[string][]isolation.NodeVolume {
	out := make(map[string][]isolation.NodeVolume)
	for claim, path := range paths {
		out[claim] = []isolation.NodeVolume{{Name: "pv", Source: "local", Path: path}}
	}
	return out
}

func TestAClaimThatLeadsToTheNodeIsJudgedLikeAHostPath(t *testing.T) {
	const data = "spec.volumes[0].persistentVolumeClaim"
	for name, c := range map[string]struct {
		portals, pod string
		claims       map[string]string
		violated     []string // portal and field
	}{
		"is refused where no path is allowed":       {"hostPaths: {}", claimedPod, map[string]string{"data": "/srv"}, []string{"hostPaths " + data}},
		"passes below what is allowed":              {"hostPaths: {allow: [{pathPrefix: /srv}]}", claimedPod, map[string]string{"data": "/srv/a"}, nil},
		"passes where nothing is asked of paths":    {"privileged: Forbid", claimedPod, map[string]string{"data": "/"}, nil},
		"passes if it is another's claim":           {"hostPaths: {}", claimedPod, map[string]string{"other": "/srv"}, nil},
		"is refused as the pod's own claim":         {"hostPaths: {}", claimedPod, map[string]string{"web-own": "/srv"}, []string{"hostPaths spec.volumes[1].ephemeral"}},
		"passes read-only as the mount says":        {"hostPaths: {allow: [{pathPrefix: /, readOnly: true}]}", claimedPod, map[string]string{"web-own": "/srv"}, nil},
		"is refused writable where only read is":    {"hostPaths: {allow: [{pathPrefix: /, readOnly: true}]}", claimedPod, map[string]string{"data": "/srv"}, []string{"hostPaths " + data}},
		"passes read-only as the volume says":       {"hostPaths: {allow: [{pathPrefix: /, readOnly: true}]}", "volumes: [{name: v, persistentVolumeClaim: {claimName: data, readOnly: true}}]\ncontainers: [{name: app, volumeMounts: [{name: v, mountPath: /v}]}]", map[string]string{"data": "/srv"}, nil},
		"is refused if it reaches the node's /proc": {"procMount: Forbid", claimedPod, map[string]string{"data": "/proc"}, []string{"procMount " + data}},
		"is refused if it reaches devices":          {"devices: Forbid", claimedPod, map[string]string{"data": "/sys"}, []string{"devices " + data}},
		"is refused if it reaches runtime sockets":  {"runtimeSockets: Forbid", claimedPod, map[string]string{"data": "/run"}, []string{"runtimeSockets " + data}},
		"is refused if it climbs":                   {"hostPaths: {allow: [{pathPrefix: /srv}]}", claimedPod, map[string]string{"data": "/srv/../etc"}, []string{"hostPaths " + data}},
		"is exempt where an exemption opens the path": {"hostPaths: {}\nexemptions: [{name: e, reason: r, namespaces: [shop], portals: {hostPaths: {allow: [{pathPrefix: /srv}]}}}]", claimedPod,
			map[string]string{"data": "/srv"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject(t, c.pod)
			s.Name = "web"
			p := policy(t, "portals:\n  "+c.portals)
			g.Expect(p.Judge(s).Violations).To(BeEmpty(), "a spec does not tell what a claim is bound to")
			s.Claims = bound(c.claims)
			var found []string
			for _, v := range p.Judge(s).Violations {
				found = append(found, v.Portal+" "+v.Field)
				g.Expect(v.Value).To(Equal("local " + slices.Collect(maps.Values(c.claims))[0] + " of PersistentVolume pv"))
			}
			g.Expect(found).To(Equal(c.violated))
		})
	}
}

func TestAClaimOfWhichNobodyKnowsWhereItLeadsIsNotVerified(t *testing.T) {
	for name, c := range map[string]struct {
		portals, pod, why string
		class             isolation.Class
	}{
		"where paths are judged":           {"hostPaths: {}", claimedPod, "the manager may not read PersistentVolumes", isolation.Unverified},
		"where devices are":                {"devices: Forbid", claimedPod, "the manager may not read PersistentVolumes", isolation.Unverified},
		"but is where nothing is of paths": {"privileged: Forbid", claimedPod, "the manager may not read PersistentVolumes", isolation.Compliant},
		"but is without a claim":           {"hostPaths: {}", "volumes: [{name: v, emptyDir: {}}]", "the manager may not read PersistentVolumes", isolation.Compliant},
		"but is if all volumes are known":  {"hostPaths: {}", claimedPod, "", isolation.Compliant},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject(t, c.pod)
			s.ClaimsUnknown = c.why
			a := policy(t, "portals: {"+c.portals+"}").Assess(s, sightOf(clean))
			g.Expect(a.Class).To(Equal(c.class))
			g.Expect(a.Verified).To(Equal(c.class == isolation.Compliant))
			if c.class == isolation.Unverified {
				g.Expect(inShort(a.Findings)).To(Equal([]string{"Unverified claims"}))
				g.Expect(a.Findings[0].Message).To(Equal(`whether its claim "data" leads to the node's file system is not known: ` + c.why))
			}
		})
	}
}

func TestAVolumeShowsTheNodeToTheClaimThatItIsBoundTo(t *testing.T) {
	volume := func(change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		pv := &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv"},
			Spec: corev1.PersistentVolumeSpec{
				ClaimRef:               &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "uid"},
				PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv", Type: ptr.To(corev1.HostPathDirectoryOrCreate)}},
			},
			Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
		}
		for _, f := range change {
			f(pv)
		}
		return pv
	}
	g := NewWithT(t)
	v, claim, ok := isolation.NodeVolumeOf(volume())
	g.Expect(ok).To(BeTrue())
	g.Expect(claim).To(Equal(types.NamespacedName{Namespace: "shop", Name: "data"}))
	g.Expect(v).To(Equal(isolation.NodeVolume{Name: "pv", Source: "hostPath", Path: "/srv", Type: corev1.HostPathDirectoryOrCreate}))

	v, _, ok = isolation.NodeVolumeOf(volume(func(pv *corev1.PersistentVolume) {
		pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/mnt/a"}}
	}))
	g.Expect(ok).To(BeTrue())
	g.Expect(v).To(Equal(isolation.NodeVolume{Name: "pv", Source: "local", Path: "/mnt/a"}))

	gone := metav1.NewTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	for _, phase := range []corev1.PersistentVolumePhase{corev1.VolumeReleased, corev1.VolumeFailed} {
		v, _, ok = isolation.NodeVolumeOf(volume(func(pv *corev1.PersistentVolume) {
			pv.Status.Phase, pv.Status.LastPhaseTransitionTime = phase, &gone
		}))
		g.Expect(ok).To(BeTrue())
		g.Expect(v.Released).To(Equal(gone.Time))
	}

	for name, change := range map[string]func(*corev1.PersistentVolume){
		"for nobody":           func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil },
		"reserved for a claim": func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "" },
		"made free again":      func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeAvailable },
		"of another kind": func(pv *corev1.PersistentVolume) {
			pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "a", Path: "/"}}
		},
	} {
		_, _, ok := isolation.NodeVolumeOf(volume(change))
		g.Expect(ok).To(BeFalse(), name)
	}
}
