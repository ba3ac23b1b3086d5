// SPDX-License-Identifier: Apache-2.0

// Package controllers judges what the agents have seen, and keeps the API server told whom to ask.
//
// Three reconcilers and the evictor, all on the replica that leads, all "gather, then judge": reads fill a plain
// input, a pure function decides, and what differs is written.
//
//	setup.go         options, and what is watched
//	cache.go         what of the rest is kept in memory
//	gather.go        reads what the parts of the installation say into one input
//
// The status of policies, of which internal/ledger counts the pods:
//
//	feed.go          tells the ledger what changed
//	volumes.go       tells it which claims lead to the file system of a node
//	judge.go         the status of each policy
//	enforced.go      the condition Enforced
//	status.go        writes policies' status
//	books.go         the books, as others may read them
//	announce.go      what began and what ended, as events, and what is out of sight
//	events.go        writes events, each once whoever leads
//
// The reports that viewers of policies read, of which internal/policyreport makes the content:
//
//	reporting.go     which kind of report is written, and of which namespaces
//	reports.go       writes those of one namespace
//	viewers.go       which kinds the cluster has, and what stands of ours
//
// Evictions, on which internal/eviction decides:
//
//	eviction.go      takes what the ledger says, and makes a round: decide, act, tell
//	eviction_act.go  looks again at everything, and evicts
//	eviction_book.go what was evicted, on a Lease
//	eviction_tell.go events and metrics
//
// What the API server is told:
//
//	engines.go       writes it: for each policy what its engine needs
//	switching.go     how a policy goes from one engine to the other without a moment in between
//	webhooks.go      the one ValidatingWebhookConfiguration, as it should be
//	configuration.go writes it
//	compiler.go      what policies become that the API server evaluates itself, each revision once
//	generated.go     what of that stands
//
// Judgement itself is internal/isolation's.
package controllers
