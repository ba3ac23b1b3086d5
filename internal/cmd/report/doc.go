// SPDX-License-Identifier: Apache-2.0

// Package report is the command "report": a whole cluster at a glance, and which pods are ready for a user
// namespace of their own. It reads the cluster page by page, makes of it one plain value, whose JSON is the
// documented format, and shows that as a table, JSON, YAML or one HTML file. It changes nothing.
package report
