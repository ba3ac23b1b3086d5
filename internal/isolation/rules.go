// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// What follows are facts of the rules, for whoever has to say the same in another language.

// DevicePlaces are the folders of the node that hold devices.
func DevicePlaces() []string { return slices.Clone(devicePlaces) }

// ProcPlaces are the folders of the node that have what the masks of a container's /proc hide.
func ProcPlaces() []string { return slices.Clone(procPlaces) }

// RuntimeSocketPlaces are the sockets of container runtimes and of the kubelet, and the folders that
// hold them.
func RuntimeSocketPlaces() []string { return slices.Clone(runtimeSocketPlaces) }

// ReachesRuntimeSockets tells whether a path of the node is one of [RuntimeSocketPlaces], is in one or
// holds one.
func ReachesRuntimeSockets(hostPath string) bool { return reaches(hostPath, runtimeSocketPlaces) }

// CapabilityName is the name of a capability as it is compared: upper case, without CAP_.
func CapabilityName(name string) string { return capabilityName(name) }

// Within tells whether a clean path is a folder or is in it, by whole elements.
func Within(p, folder string) bool { return within(p, folder) }

// CapabilityNames are the names of capabilities as they are compared: upper case, without CAP_.
func CapabilityNames(list []v1alpha1.Capability) []string { return capabilityNames(list) }

// DescribeHostPaths, DescribeHostPorts and DescribeCapabilities list what a portal allows or forbids, as
// remedies do.
func DescribeHostPaths(p *v1alpha1.HostPathsPortal) string { return pathAllowanceOf(p).String() }

// DescribeHostPorts: see [DescribeHostPaths].
func DescribeHostPorts(p *v1alpha1.HostPortsPortal) string { return portAllowanceOf(p).String() }

// DescribeCapabilities: see [DescribeHostPaths].
func DescribeCapabilities(p *v1alpha1.CapabilitiesPortal) string { return capabilitySetOf(p).String() }
