// SPDX-License-Identifier: Apache-2.0

// Package isolation is the core of Bulkhead: it compares what is required, what is claimed and
// what is observed, on the same eight axes.
//
// It is pure: no I/O, no clock, no client, no logging. Admission, controllers, agent and command
// line gather facts, hand them in, and carry out what comes back. A rule that exists twice is a
// defect; this is the place where it exists once.
//
// The way through the package:
//
//	level.go, axis.go      levels, axes and vectors of levels
//	subject.go             what is judged: a pod's spec, or the debug containers added to a pod
//	claim.go, axis_*.go    what a spec claims on each axis
//	portal_*.go            the openings beside the namespaces, one portal one file
//	policy.go, judge.go    a compiled IsolationPolicy, and its judgement of a subject
//	look.go, ownership.go  what the kernel showed, and whose each namespace is
//	tracker.go, round.go   levels and findings, confirmed over several looks
//	assess.go              a policy's judgement of a running pod
//	userns.go              what stands between a pod and a user namespace of its own
//	readiness.go           how ready pods are for that, to be counted
package isolation
