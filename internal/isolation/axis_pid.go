// SPDX-License-Identifier: Apache-2.0

package isolation

import "strconv"

/*
The process namespace.

Fields:
  spec.hostPID                                    true claims Host
  spec.shareProcessNamespace                      true claims Pod
  spec.ephemeralContainers[*].targetContainerName set claims Pod, for itself and its target

Otherwise each container has its own: Container. An ephemeral container is judged on its own
fields, so the pod's are not held against it.
*/

var pidCheck = axisCheck{claim: claimPID, causes: causesPID}

func claimPID(s scope) Level {
	if s.ephemeral {
		for i := range s.Spec.EphemeralContainers {
			e := &s.Spec.EphemeralContainers[i]
			if e.TargetContainerName != "" && s.judges(e) {
				return Pod
			}
		}
		return Container
	}
	switch {
	case s.Spec.HostPID:
		return Host
	case isTrue(s.Spec.ShareProcessNamespace):
		return Pod
	default:
		return Container
	}
}

func causesPID(s scope, required Level, out []cause) []cause {
	if s.ephemeral {
		for i := range s.Spec.EphemeralContainers {
			e := &s.Spec.EphemeralContainers[i]
			if e.TargetContainerName != "" && s.judges(e) {
				out = append(out, cause{
					field: s.Path + ".ephemeralContainers[" + strconv.Itoa(i) + "].targetContainerName",
					value: e.TargetContainerName, claim: Pod,
					remedy: "debug without --target",
				})
			}
		}
		return out
	}
	if s.Spec.HostPID {
		out = append(out, cause{
			field: s.Path + ".hostPID", value: "true", claim: Host,
			remedy: "remove it or set it to false",
		})
	}
	// An API server refuses both at once; a file that is judged offline can have them.
	if isTrue(s.Spec.ShareProcessNamespace) && Pod.Below(required) {
		out = append(out, cause{
			field: s.Path + ".shareProcessNamespace", value: "true", claim: Pod,
			remedy: "remove it or set it to false",
		})
	}
	return out
}

func isTrue(b *bool) bool { return b != nil && *b }
