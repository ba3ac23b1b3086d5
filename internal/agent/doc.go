// SPDX-License-Identifier: Apache-2.0

// Package agent is the witness on a node: it reads the kernel's view of the containers there, and
// tells it as a NodeIsolationReport. It judges nothing by policy and changes nothing on the node.
//
// The way through the package:
//
//	attribution.go, cgroup_path.go  whose a process is, by its cgroups (pure)
//	assign.go                       whose it is by its pid namespace, which cannot be forged (pure)
//	leavers.go                      who descends from a container and is in no cgroup of it any more (pure)
//	unshared.go                     who is in namespaces that are nobody's (pure)
//	directory.go, identify.go       what the API knows of a container; sandboxes and strays (pure)
//	looker.go, read.go, threads.go  one look: /proc -> isolation.Look
//	crowd.go                        what is kept of a container with very many processes
//	nobodys.go                      whom a look need not ask everything: who has been in no container for long
//	selftest.go, refusal.go         what the agent lacks to see everything, and why it is refused
//	report.go                       an observation as the status of a report (pure)
//	kube.go, publish.go             pods of this node; report and lease
//	loop.go, pace.go, run.go        when to look and when to write
//	metrics.go, serve.go            what the agent tells of itself
//
// The command "scan" uses the [Looker] without a [Directory].
package agent
