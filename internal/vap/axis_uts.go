// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
The uts namespace (the host name).

Fields:

	spec.hostNetwork   true claims Host: runtimes drop the UTS namespace with the network's
*/
var utsConcern = sandbox("uts", "has(object.spec.hostNetwork)", "object.spec.?hostNetwork.orValue(false)", "'spec.hostNetwork is true'", removeOrFalse,
	func(i *v1alpha1.Isolation) v1alpha1.SandboxLevel { return i.UTS })
