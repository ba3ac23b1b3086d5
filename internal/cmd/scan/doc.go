// SPDX-License-Identifier: Apache-2.0

// Package scan is the command that reads how isolated this machine's containers are, without
// Kubernetes.
//
//	command.go  flags and the order of things
//	look.go     looks at /proc
//	alone.go    processes in no container (pure)
//	result.go   what the looks showed, as it is told (pure)
//	notes.go    what could not be seen, and what to do (pure)
//	watch.go    what is shown of one look after the other
//	print.go    the formats
//	table.go    the rows of tables
//	matrix.go   tables that fit a screen
//	screen.go   what that can show
package scan
