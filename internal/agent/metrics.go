// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// metrics are what the agent tells of itself.
type metrics struct {
	registry   *prometheus.Registry
	duration   prometheus.Histogram
	looks      *prometheus.CounterVec
	writes     *prometheus.CounterVec
	processes  prometheus.Gauge
	contained  prometheus.Gauge
	containers prometheus.Gauge
	unreadable prometheus.Gauge
	degraded   prometheus.Gauge
	findings   *prometheus.GaugeVec
	unshared   *prometheus.GaugeVec
}

func newMetrics() *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bulkhead_agent_look_duration_seconds",
			Help:    "How long a look at the node's processes took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}),
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_agent_looks_total", Help: "Looks at the node's processes, by result.",
		}, []string{"result"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_agent_report_writes_total", Help: "Writes of the node's report and lease, by result.",
		}, []string{"result"}),
		processes:  gauge("bulkhead_agent_processes", "Processes on the node at the last look."),
		contained:  gauge("bulkhead_agent_contained_processes", "Processes in containers at the last look."),
		containers: gauge("bulkhead_agent_containers", "Containers at the last look, sandboxes included."),
		unreadable: gauge("bulkhead_agent_unreadable", "Processes in containers that did not show all of their namespaces at the last look."),
		degraded:   gauge("bulkhead_agent_degraded", "1 if the agent cannot see everything; the report's condition Degraded says why."),
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_agent_findings", Help: "Findings at the last look, by kind and axis.",
		}, []string{"kind", "axis"}),
		unshared: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_agent_unshared_processes",
			Help: "Processes in no container that were in a namespace which is neither the node's nor a container's, by axis, at the last sweep: for information.",
		}, []string{"axis"}),
	}
	m.registry.MustRegister(
		m.duration, m.looks, m.writes, m.processes, m.contained, m.containers, m.unreadable, m.degraded, m.findings, m.unshared,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Describe tells of every metric of an agent: rules and dashboards are checked against them.
func Describe(ch chan<- *prometheus.Desc) { newMetrics().registry.Describe(ch) }

// looked tells of a look.
func (m *metrics) looked(s *Sighting, took time.Duration, stats Stats) {
	m.duration.Observe(took.Seconds())
	if s.Err != nil {
		m.looks.WithLabelValues("failed").Inc()
		return
	}
	m.looks.WithLabelValues("succeeded").Inc()
	m.processes.Set(float64(stats.Processes))
	m.contained.Set(float64(stats.Contained))
	m.containers.Set(float64(stats.Containers))
	m.unreadable.Set(float64(stats.Unreadable))
	m.degraded.Set(min(1, float64(len(s.Problems))))
	for _, a := range isolation.Axes {
		m.unshared.WithLabelValues(a.String()).Set(float64(stats.Unshared[a]))
	}
	m.findings.Reset()
	for i := range s.Observation.Findings {
		f := &s.Observation.Findings[i]
		m.findings.WithLabelValues(string(f.Kind), f.Axis).Inc()
	}
}

// wrote counts a write by its result.
func (m *metrics) wrote(result string) { m.writes.WithLabelValues(result).Inc() }
