// SPDX-License-Identifier: Apache-2.0

package isolation

/*
The network namespace.

Fields:
  spec.hostNetwork   true claims Host, for debug containers too; false and unset claim Pod
*/

var networkCheck = axisCheck{claim: claimNetwork, causes: causesHostNetwork}

func claimNetwork(s scope) Level {
	if s.Spec.HostNetwork && s.runs() {
		return Host
	}
	return Pod
}

func causesHostNetwork(s scope, _ Level, out []cause) []cause {
	return append(out, cause{
		field: s.Path + ".hostNetwork", value: "true", claim: Host,
		remedy: s.remedyOfPod("remove it or set it to false"),
	})
}
