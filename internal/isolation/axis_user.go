// SPDX-License-Identifier: Apache-2.0

package isolation

/*
The user namespace (KEP-127).

Fields:
  spec.hostUsers   false claims Pod; true and unset claim Host, for debug containers too
*/

var userCheck = axisCheck{claim: claimUser, causes: causesUser}

func claimUser(s scope) Level {
	if !s.runs() || s.Spec.HostUsers != nil && !*s.Spec.HostUsers {
		return Pod
	}
	return Host
}

func causesUser(s scope, _ Level, out []cause) []cause {
	value := unset
	if s.Spec.HostUsers != nil {
		value = "true"
	}
	return append(out, cause{field: s.Path + ".hostUsers", value: value, claim: Host, remedy: s.remedyOfPod("set it to false")})
}
