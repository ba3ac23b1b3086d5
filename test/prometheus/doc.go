// SPDX-License-Identifier: Apache-2.0

// Package prometheus tests the alert rules and the dashboard of config/prometheus with Prometheus' own
// parser and engine. It is a module of its own, so that nobody who builds Bulkhead needs Prometheus.
package prometheus
