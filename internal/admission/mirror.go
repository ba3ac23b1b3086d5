// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
)

// How the API server names nodes (k8s.io/apiserver/pkg/authentication/user).
const (
	nodesGroup     = "system:nodes"
	nodeUserPrefix = "system:node:"
)

// isMirror tells whether a node creates the mirror of a static pod of its own. Refusing that hides
// the pod and stops nothing: the static pod keeps running (kubernetes/kubernetes#53467). The
// annotation alone says nothing, anybody can write it.
func isMirror(r *request[pod]) bool {
	node := r.Object.Spec.NodeName
	_, annotated := r.Object.Metadata.Annotations[corev1.MirrorPodAnnotationKey]
	return annotated &&
		r.Operation == admissionv1.Create &&
		node != "" &&
		r.UserInfo.Username == nodeUserPrefix+node &&
		slices.Contains(r.UserInfo.Groups, nodesGroup)
}
