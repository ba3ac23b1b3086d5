// SPDX-License-Identifier: Apache-2.0

// Package admission answers the API server: it refuses, flags or admits pods and the debug
// containers that are added to them, warns of workloads whose pods it would not let pass, and checks
// policies before they are stored.
//
// It gathers what the core needs, lets package isolation judge, and words the answer; it compares
// nothing itself. Every replica serves, whoever leads:
//
//	setup.go         wires everything below into a manager
//	store.go         the policies by which this replica judges
//	serving.go       the Lease on which it publishes which those are
//	certificates.go  the certificate that it serves, made and rotated in a Secret
//	server.go        listens, and lingers when the replica is asked to end; connections.go: who has to make room
//	endpoint.go      one path: HTTP, time, panics; body.go: what may be in memory at once
//	review.go        reads a review, and fails the call if there is none to answer;
//	                 podspec.go: what of a pod is read
//	pods.go          judges pods; mirror.go: those of the kubelet's static pods
//	templates.go     warns of the pods that a workload would make
//	namespaces.go    the labels of a pod's namespace
//	respond.go       verdicts as answers, bounded
//	policies.go      checks policies; affected.go: which pods violate them; eviction.go: whether pods
//	                 can be evicted
//	metrics.go       what is counted
//
// What cannot be judged fails the call: the API server then refuses where a Deny policy asked for
// that, and nowhere else.
package admission
