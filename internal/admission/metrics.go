// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The values of the label verdict: what became of a request, the worst that applies.
const (
	verdictAllowed = "allowed" // nothing that a policy forbids
	verdictExempt  = "exempt"  // an exemption opens what it asks for
	verdictAudited = "audited" // admitted, against an Audit policy
	verdictWarned  = "warned"  // admitted, against a Warn policy
	verdictMirror  = "mirror"  // admitted against a Deny policy, for it mirrors a static pod
	verdictDenied  = "denied"  // refused by a Deny policy
	verdictError   = "error"   // refused, for it could not be judged
)

// instruments count reviews of pods. What controller-runtime counts itself is not counted again:
// responses by path and code.
type instruments struct {
	reviews  *prometheus.CounterVec
	duration prometheus.Histogram
	panics   prometheus.Counter
	inFlight prometheus.Gauge
}

// registered are the instruments of this process, on the manager's /metrics.
var registered = sync.OnceValue(func() *instruments {
	i := newInstruments()
	metrics.Registry.MustRegister(i.reviews, i.duration, i.panics, i.inFlight)
	return i
})

func newInstruments() *instruments {
	i := &instruments{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_admission_reviews_total",
			Help: "Pods and added debug containers that were judged, by what became of them.",
		}, []string{"verdict"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bulkhead_admission_review_duration_seconds",
			Help:    "How long judging took, without reading and writing the request.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 5},
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_admission_panics_total",
			Help: "Panics while judging: each is a defect of Bulkhead.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_admission_in_flight",
			Help: "Requests that are being judged.",
		}),
	}
	for _, v := range []string{verdictAllowed, verdictExempt, verdictAudited, verdictWarned, verdictMirror, verdictDenied, verdictError} {
		i.reviews.WithLabelValues(v)
	}
	return i
}

// began counts a request in; the function that it returns counts it out.
func (i *instruments) began() (done func(verdict string)) {
	i.inFlight.Inc()
	start := time.Now()
	return func(verdict string) {
		i.inFlight.Dec()
		i.duration.Observe(time.Since(start).Seconds())
		i.reviews.WithLabelValues(verdict).Inc()
	}
}
