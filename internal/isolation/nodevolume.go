// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

/*
PersistentVolumes that show a part of the node's file system: a pod that mounts the claim of one has it
as if it had asked for a hostPath, and its spec does not tell.

Fields of a PersistentVolume:
  spec.hostPath, spec.local.path
      the path on the node; volumes of other kinds show nothing of it
  spec.claimRef
      the claim that it is for. Without a UID it is only reserved for a claim of that name
  status.phase
      Bound, while there is the claim of that UID. Once that is gone, Released, or Failed (the page
      "Persistent Volumes"): a new claim of its name gets another volume
  status.lastPhaseTransitionTime
      when it was released. A pod that is older has it mounted all the same: the finalizer that keeps a
      claim while pods use it (pvc-protection) can be removed by whoever may write the claim

Fields of a pod:
  spec.volumes[*].persistentVolumeClaim.claimName
  spec.volumes[*].ephemeral
      its claim has the names of pod and volume, with a hyphen (the page "Ephemeral Volumes")
  spec.volumes[*].persistentVolumeClaim.readOnly
      makes every mount read-only (makeMounts in Kubernetes' pkg/kubelet)
*/

// NodeVolume is a PersistentVolume that shows a part of the node's file system.
type NodeVolume struct {
	// Name of the PersistentVolume.
	Name string
	// Source is the field that has the path: hostPath or local.
	Source string
	// Path on the node.
	Path string
	// Type of a hostPath, if it has one.
	Type corev1.HostPathType
	// Released is when its claim was gone: pods that were created later do not have it. Zero while it is bound,
	// and if that is not known.
	Released time.Time
}

// NodeVolumeOf is the part of the node that a PersistentVolume shows, and the claim that it is or was bound
// to; ok is false if it shows none or never was bound.
func NodeVolumeOf(pv *corev1.PersistentVolume) (v NodeVolume, claim types.NamespacedName, ok bool) {
	ref := pv.Spec.ClaimRef
	if ref == nil || ref.UID == "" {
		return NodeVolume{}, types.NamespacedName{}, false
	}
	switch pv.Status.Phase {
	case corev1.VolumeBound:
	case corev1.VolumeReleased, corev1.VolumeFailed:
		if at := pv.Status.LastPhaseTransitionTime; at != nil {
			v.Released = at.UTC()
		}
	default:
		return NodeVolume{}, types.NamespacedName{}, false
	}
	v.Name = pv.Name
	switch {
	case pv.Spec.HostPath != nil:
		v.Source, v.Path = "hostPath", pv.Spec.HostPath.Path
		if t := pv.Spec.HostPath.Type; t != nil {
			v.Type = *t
		}
	case pv.Spec.Local != nil:
		v.Source, v.Path = "local", pv.Spec.Local.Path
	default:
		return NodeVolume{}, types.NamespacedName{}, false
	}
	return v, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, true
}

// VolumeClaimOf is the name of the claim that a pod's volume is of; empty if it is of none.
func VolumeClaimOf(pod string, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return pod + "-" + v.Name
	}
	return ""
}

// of tells whether a pod that was created then has the volume by its claim. The API server's clock has seconds.
func (v *NodeVolume) of(created time.Time) bool {
	return v.Released.IsZero() || !created.After(v.Released)
}

// bound is the volume as if the pod had asked for its path.
func (v *NodeVolume) bound() *corev1.HostPathVolumeSource {
	h := &corev1.HostPathVolumeSource{Path: v.Path}
	if v.Type != "" {
		h.Type = &v.Type
	}
	return h
}

// String tells of the volume in the place of a path.
func (v *NodeVolume) String() string {
	return v.Source + " " + v.Path + " of PersistentVolume " + v.Name
}

// PortalClaims is the portal of a finding on a pod of which nobody knows what its claims are bound to.
const PortalClaims = "claims"

// unbound says that it is not known whether the pod's claims lead around what the demand is about; nil if
// it is known, if it has none, or if the demand is not about it.
func (d *demand) unbound(s *Subject) *v1alpha1.PolicyFinding {
	claim := s.UnknownClaim()
	if claim == "" || !d.portals.judgesHostPaths() {
		return nil
	}
	return &v1alpha1.PolicyFinding{Kind: v1alpha1.Unverified, Portal: PortalClaims, Message: Sanitize(
		"whether its claim "+quote(claim)+" leads to the node's file system is not known: "+s.ClaimsUnknown, 1024)}
}

// UnknownClaim is a claim of the pod of which it is not known where it leads; empty if there is none.
func (s *Subject) UnknownClaim() string {
	if s.ClaimsUnknown == "" {
		return ""
	}
	for i := range s.Spec.Volumes {
		if claim := VolumeClaimOf(s.Name, &s.Spec.Volumes[i]); claim != "" {
			return claim
		}
	}
	return ""
}

// judgesHostPaths tells whether one of the portals speaks of paths of the node.
func (p *portals) judgesHostPaths() bool {
	return p.hostPaths != nil || p.forbidden[procMount] || p.forbidden[devices] || p.forbidden[runtimeSockets]
}
