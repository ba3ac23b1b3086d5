// SPDX-License-Identifier: Apache-2.0

// Package controllers judges what the agents have seen, and keeps the API server told whom to ask.
//
// Two reconcilers, both on the replica that leads, both "gather, then judge": reads fill a plain
// input, a pure function decides, one patch writes.
//
//	setup.go         options, and what is watched
//	cache.go         what of a pod is kept in memory
//	gather.go        reads everything into one input
//	sight.go         what the nodes' reports say of a pod, and what they do not
//	running.go       since when a pod runs
//	judge.go         counts and findings of each policy
//	verified.go      the condition Verified
//	enforced.go      the condition Enforced
//	status.go        writes policies' status
//	announce.go      what began and what ended, as events
//	webhooks.go      the one ValidatingWebhookConfiguration, as it should be
//	configuration.go keeps it so
//
// Judgement itself is internal/isolation's.
package controllers
