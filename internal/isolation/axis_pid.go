// SPDX-License-Identifier: Apache-2.0

package isolation

import "strconv"

/*
The process namespace.

Fields:
  spec.hostPID                                    true claims Host
  spec.shareProcessNamespace                      true claims Pod
  spec.ephemeralContainers[*].targetContainerName set claims Pod, for itself and its target

Otherwise each container has its own: Container. A debug container has what its pod has.
*/

var pidCheck = axisCheck{claim: claimPID, causes: causesPID}

func claimPID(s scope) Level {
	switch {
	case s.Spec.HostPID && s.runs():
		return Host
	case isTrue(s.Spec.ShareProcessNamespace) && s.runs(), s.targets():
		return Pod
	default:
		return Container
	}
}

// targets tells whether a debug container in scope shares the process namespace of another container.
func (s scope) targets() bool {
	if !s.ephemeral {
		return false
	}
	for i := range s.Spec.EphemeralContainers {
		if e := &s.Spec.EphemeralContainers[i]; e.TargetContainerName != "" && s.judges(e) {
			return true
		}
	}
	return false
}

func causesPID(s scope, required Level, out []cause) []cause {
	if s.Spec.HostPID && s.runs() {
		out = append(out, cause{
			field: s.Path + ".hostPID", value: "true", claim: Host,
			remedy: s.remedyOfPod("remove it or set it to false"),
		})
	}
	if !Pod.Below(required) {
		return out
	}
	// An API server refuses both at once; a file that is judged offline can have them.
	if isTrue(s.Spec.ShareProcessNamespace) && s.runs() {
		out = append(out, cause{
			field: s.Path + ".shareProcessNamespace", value: "true", claim: Pod,
			remedy: s.remedyOfPod("remove it or set it to false"),
		})
	}
	if !s.ephemeral {
		return out
	}
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

func isTrue(b *bool) bool { return b != nil && *b }
