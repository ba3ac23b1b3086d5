// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
The ipc namespace.

Fields:

	spec.hostIPC   true claims Host
*/
var ipcConcern = sandbox("ipc", "has(object.spec.hostIPC)", "object.spec.?hostIPC.orValue(false)", "'spec.hostIPC is true'", removeOrFalse,
	func(i *v1alpha1.Isolation) v1alpha1.SandboxLevel { return i.IPC })
