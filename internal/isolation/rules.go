// SPDX-License-Identifier: Apache-2.0

package isolation

import "slices"

// What follows are facts of the rules, for whoever has to say the same in another language.

// DevicePlaces are the folders of the node that hold devices.
func DevicePlaces() []string { return slices.Clone(devicePlaces) }

// RuntimeSocketPlaces are the sockets of container runtimes and of the kubelet, and the folders that
// hold them.
func RuntimeSocketPlaces() []string { return slices.Clone(runtimeSocketPlaces) }
