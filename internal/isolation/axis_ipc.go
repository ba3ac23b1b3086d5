// SPDX-License-Identifier: Apache-2.0

package isolation

/*
The ipc namespace.

Fields:
  spec.hostIPC   true claims Host, for debug containers too; false and unset claim Pod
*/

var ipcCheck = axisCheck{claim: claimIPC, causes: causesIPC}

func claimIPC(s scope) Level {
	if s.Spec.HostIPC && s.runs() {
		return Host
	}
	return Pod
}

func causesIPC(s scope, _ Level, out []cause) []cause {
	return append(out, cause{
		field: s.Path + ".hostIPC", value: "true", claim: Host,
		remedy: s.remedyOfPod("remove it or set it to false"),
	})
}
