// SPDX-License-Identifier: Apache-2.0

// Package eviction decides which pods are evicted, and says of every other one why it is not.
//
// It is told which pods a policy calls breached and on what that rests, what was evicted before, and
// what time it is. It acts on nothing: no client, no clock, no log.
//
//	candidate.go  a breached pod, and what forbids for good that it be evicted
//	watch.go      since when a breach holds: nothing is done on one look
//	history.go    what was evicted, by owner, in a form that outlives the process
//	limits.go     how many, at which pace, and when too many would go
//	decide.go     all of it, in order
//
// What bounds the harm that one who lies can do: a node's word counts for its own pods alone; a node,
// a namespace, a policy and the cluster each have a pace and a breaker of their own, and what broke a
// narrower one is not counted in the wider ones, so that a liar does not shield others.
package eviction
