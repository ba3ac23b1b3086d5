// SPDX-License-Identifier: Apache-2.0

// Package admission answers the API server: it refuses, flags or admits pods and the debug
// containers that are added to them, and checks policies before they are stored.
//
// It gathers what the core needs, lets package isolation judge, and words the answer; it compares
// nothing itself. Every replica serves, whoever leads:
//
//	setup.go         wires everything below into a manager
//	store.go         the policies by which this replica judges
//	serving.go       the Lease on which it publishes which those are
//	certificates.go  the certificate that it serves, made and rotated in a Secret
//	pods.go          judges pods; mirror.go: those of the kubelet's static pods
//	namespaces.go    the labels of a pod's namespace
//	respond.go       verdicts as answers, bounded
//	policies.go      checks policies; caveats.go: what their authors should know
//	metrics.go       what is counted
package admission
