// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
The network namespace.

Fields:

	spec.hostNetwork   true claims Host
*/
var networkConcern = sandbox("network", "has(object.spec.hostNetwork)", "object.spec.?hostNetwork.orValue(false)", "'spec.hostNetwork is true'", removeOrFalse,
	func(i *v1alpha1.Isolation) v1alpha1.SandboxLevel { return i.Network })
