// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The values of the label verdict: what became of a review, the worst that applies.
const (
	verdictAllowed = "allowed" // nothing that a policy forbids
	verdictExempt  = "exempt"  // an exemption opens what it asks for
	verdictAudited = "audited" // admitted, against an Audit policy
	verdictWarned  = "warned"  // admitted, with a warning
	verdictMirror  = "mirror"  // admitted against a Deny policy, for it mirrors a static pod
	verdictDenied  = "denied"  // refused
	verdictError   = "error"   // not answered, for it could not be judged
)

// The values of the label resource.
const (
	resourcePods      = "pods"
	resourceTemplates = "templates"
	resourcePolicies  = "policies"
)

// instruments count reviews.
type instruments struct {
	reviews  *prometheus.CounterVec
	verdicts *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	panics   prometheus.Counter
	expiry   prometheus.Gauge
}

// registered are the instruments of this process, on the manager's /metrics.
var registered = sync.OnceValue(func() *instruments {
	i := newInstruments()
	metrics.Registry.MustRegister(i.all()...)
	return i
})

func (i *instruments) all() []prometheus.Collector {
	return []prometheus.Collector{i.reviews, i.verdicts, i.duration, i.inFlight, i.panics, i.expiry}
}

// Describe tells of every metric of admission: rules and dashboards are checked against them.
func Describe(ch chan<- *prometheus.Desc) {
	for _, c := range newInstruments().all() {
		c.Describe(ch)
	}
}

func newInstruments() *instruments {
	i := &instruments{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_admission_reviews_total",
			Help: "Reviews by what was asked about (pods and added debug containers, templates of workloads, policies) and by what became of it.",
		}, []string{"resource", "verdict"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_admission_policy_verdicts_total",
			Help: "What each policy that matched said of a pod or an added debug container.",
		}, []string{"policy", "verdict"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bulkhead_admission_review_duration_seconds",
			Help:    "How long a review took, from its headers to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 5},
		}, []string{"resource"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_admission_in_flight",
			Help: "Reviews that are being answered.",
		}, []string{"resource"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_admission_panics_total",
			Help: "Panics while judging: each is a defect of Bulkhead.",
		}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_admission_certificate_expiration_timestamp_seconds",
			Help: "When the certificate that is served ends, in seconds since 1970.",
		}),
	}
	for _, v := range []string{verdictAllowed, verdictExempt, verdictAudited, verdictWarned, verdictMirror, verdictDenied, verdictError} {
		i.reviews.WithLabelValues(resourcePods, v)
	}
	return i
}

// began counts a review in; the function that it returns counts it out.
func (i *instruments) began(resource string) (done func(verdict string)) {
	inFlight := i.inFlight.WithLabelValues(resource)
	inFlight.Inc()
	start := time.Now()
	return func(verdict string) {
		inFlight.Dec()
		i.duration.WithLabelValues(resource).Observe(time.Since(start).Seconds())
		i.reviews.WithLabelValues(resource, verdict).Inc()
	}
}

// forget a policy that is gone: its name must not stay in memory and in every scrape.
func (i *instruments) forget(policy string) {
	i.verdicts.DeletePartialMatch(prometheus.Labels{"policy": policy})
}
