// SPDX-License-Identifier: Apache-2.0

// Package policyreport makes of what policies say of a namespace's pods the reports that viewers of
// policies already read: Policy Reporter, Headlamp, Lens.
//
//	reports.go  the reports of one namespace: what is listed, what is only counted, and where the next begins
//	result.go   one result: what one policy says of one pod
//	found.go    when each result was first found, and whether two reports say the same
//
// The kind is OpenReports' Report; PolicyReport of wgpolicyk8s.io is an earlier one of the same fields.
//
// It is pure: no client, no clock, no log.
package policyreport
