// SPDX-License-Identifier: Apache-2.0

package vap

// mirror tests whether a node creates the mirror of a static pod of its own. Refusing that hides the
// pod and stops nothing: the static pod keeps running. The annotation alone says nothing, anybody can
// write it.
const mirror = created + ` &&
'kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({}) &&
object.spec.?nodeName.orValue('') != '' &&
request.userInfo.?username.orValue('') == 'system:node:' + object.spec.?nodeName.orValue('') &&
'system:nodes' in request.userInfo.?groups.orValue([])`

// Keys of audit annotations. The API server puts the policy's name and a slash before them.
const (
	// auditViolations tells all violations.
	auditViolations = "violations"
	// auditMirror names the node whose static pod it is that would have been refused.
	auditMirror = "mirror-pod"
)

const mirrorAnnotation = "variables.violations.size() > 0 &&\n" + mirror + " ?\nstring(object.spec.nodeName) : ''"
