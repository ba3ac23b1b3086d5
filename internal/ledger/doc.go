// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the books on isolation: every pod, every node's report and every policy of a
// cluster, and what each policy says of each pod, counted.
//
// It is told what changed and asks nobody. A pod's change costs the judgement of that pod, a report's
// that of the pods on its node, a policy's that of all pods by this one policy, and nothing costs the
// judgement of everything. What it says is what a ledger says that was told the same from scratch; a
// test holds it to that.
//
//	ledger.go    what it is told, and what it keeps
//	keep.go      what of a pod, and of a node, is kept
//	pod.go       a pod, and the mark that each policy leaves on it
//	running.go   since when a pod runs
//	volume.go    claims of pods, and the PersistentVolumes that show a part of the node to them
//	node.go      what a node's report says of a pod, and whether it counts
//	agents.go    how a node's agent is, and what it says, for who keeps no books
//	policy.go    the sums of the marks of one policy
//	tally.go     what findings are about, in a few bytes
//	agents.go    how the agents of all nodes are
//	standing.go  what there is to tell of a policy: sums, and the worst by name
//	assessed.go  what there is to tell of the pods of one namespace, and where that changed
//	verified.go  the condition Verified
//	breaches.go  the pods for which a policy may evict, and what that rests on
//	readiness.go how ready the pods are for user namespaces of their own
//	alarms.go    what changes by the passing of time
//
// For each pod and policy it keeps a mark of a few bytes, by which a pod can be taken out of the sums
// again, and no sentence: the few that somebody reads are made when they are asked for.
//
// It is pure: no client, no clock, no log. It does not lock: who shares it does.
package ledger
