// SPDX-License-Identifier: Apache-2.0

// Package check is the command that judges manifests by policies, without a cluster.
//
//	command.go     flags and the order of things
//	gather.go      what is read
//	workload.go    the objects that hold pods
//	namespace.go   labels of namespaces, as far as they are known
//	judge.go       what one policy says of an object
//	verdict.go     judgements of several policies as one verdict
//	print.go       table, JSON and YAML
//	sarif.go       SARIF, and its rules in rules.go
//	junit.go       JUnit
//	memory.go      the pace of the garbage collector
package check
