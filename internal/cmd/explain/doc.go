// SPDX-License-Identifier: Apache-2.0

// Package explain is the command "explain": what is required of a pod, what its spec claims and what was
// observed, side by side, and what to change. It reads the cluster and changes nothing.
package explain
