// SPDX-License-Identifier: Apache-2.0

// Package scan is the command that reads how isolated this machine's containers are, without
// Kubernetes.
//
//	command.go  flags and the order of things
//	look.go     two looks at /proc
//	result.go   what the looks showed, as it is told (pure)
//	print.go    table and JSON
package scan
