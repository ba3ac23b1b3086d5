// SPDX-License-Identifier: Apache-2.0

// Package openings finds what the kernel shows open in a container beside its namespaces, and its spec
// did not ask for: folders and devices of the node, sockets of the runtime, mounts that travel, parts of
// /proc and /sys without their masks, capabilities, missing filters; and handles that lead outside.
//
// Like the core it is pure: no I/O, no clock. An [Inspection] is what was read, a [Grant] is what a spec
// asks for, and an [Inspector] compares the two and remembers until a second look confirms.
package openings
