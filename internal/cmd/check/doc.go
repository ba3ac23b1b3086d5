// SPDX-License-Identifier: Apache-2.0

// Package check is the command that judges manifests by policies, without a cluster.
//
//	command.go     flags and the order of things
//	workload.go    the kinds that hold pods, and where
//	namespace.go   labels of namespaces, as far as they are known
//	verdict.go     judgements of several policies as one verdict
//	print.go       table and JSON
package check
