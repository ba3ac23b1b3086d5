// SPDX-License-Identifier: Apache-2.0

package vap

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
The user namespace (KEP-127).

Fields:

	spec.hostUsers   false claims Pod; true and unset claim Host
*/
var userConcern = sandbox("user", "!has(object.spec.hostUsers) || object.spec.hostUsers", "object.spec.?hostUsers.orValue(true)",
	"(has(object.spec.hostUsers) ? 'spec.hostUsers is true' : 'spec.hostUsers is <unset>')", "set it to false",
	func(i *v1alpha1.Isolation) v1alpha1.SandboxLevel { return i.User })
