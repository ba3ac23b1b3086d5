// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// A handler answers one review. An error means that there is no answer: see [failure]. selection is what
// the path says below the endpoint's: see [isolation.Policy.Selection].
type handler interface {
	handle(ctx context.Context, selection string, body []byte) (*answer, error)
}

// inPath is the part of the path that is the selection.
const inPath = "selection"

// An endpoint speaks HTTP with the API server for one handler. controller-runtime's own is not
// used: it decodes reviews into all that they can hold, and answers what it cannot decode with a
// refusal that names no request.
type endpoint struct {
	// resource is the value of the label, in metrics.
	resource string
	handler  handler
	limits   *limits
	metrics  *instruments
	log      logr.Logger
	// ending is closed when this replica was asked to end. Connections then close after their
	// next answer, and the API server opens the next one to another replica.
	ending <-chan struct{}
}

// ServeHTTP answers one request.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	done := e.metrics.began(e.resource)
	verdict := verdictError
	defer func() { done(verdict) }()
	ctx, cancel := context.WithTimeout(r.Context(), patience(r))
	defer cancel()
	select {
	case <-e.ending:
		w.Header().Set("Connection", "close")
	default:
	}
	a, err := e.answer(ctx, r)
	if err != nil {
		f := failed(err)
		e.log.Info("A review was not answered", "resource", e.resource, "code", f.code, "reason", f.Error())
		write(w, f.code, f.status())
		return
	}
	verdict = a.verdict
	write(w, http.StatusOK, &admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: reviewVersion, Kind: reviewKind},
		Response: &a.AdmissionResponse,
	})
}

// answer reads and judges; a panic is an error.
func (e *endpoint) answer(ctx context.Context, r *http.Request) (a *answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.metrics.panicked(e.log, p, "")
			a, err = nil, errDefect
		}
	}()
	if r.Method != http.MethodPost {
		return nil, &failure{http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, fmt.Errorf("asked with %q: an AdmissionReview comes with POST", r.Method)}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, &failure{http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, fmt.Errorf("asked with content type %q: an AdmissionReview is application/json", r.Header.Get("Content-Type"))}
	}
	body, release, err := e.limits.read(ctx, r)
	defer release()
	if err != nil {
		return nil, err
	}
	free, err := take(ctx, e.limits.judged)
	if err != nil {
		return nil, err
	}
	defer free()
	return e.handler.handle(ctx, r.PathValue(inPath), body)
}

var errDefect = errors.New("this could not be judged: a defect of Bulkhead, its log tells where")

// panicked counts a panic and logs where it came from.
func (i *instruments) panicked(log logr.Logger, p any, policy string) {
	i.panics.Inc()
	log.Error(fmt.Errorf("panic: %s", isolation.Sanitize(fmt.Sprint(p), 1024)), "A review could not be judged",
		"policy", policy, "stack", string(debug.Stack()))
}

const (
	// defaultPatience is how long the API server waits if it does not say, and maxPatience the most
	// that it can be told to.
	defaultPatience, maxPatience = 10 * time.Second, 30 * time.Second
	// onTheWay is kept back for the way of the answer.
	onTheWay = 300 * time.Millisecond
)

// patience is how long an answer may take: what the API server says in its parameter timeout.
func patience(r *http.Request) time.Duration {
	d := defaultPatience
	if r.URL.RawQuery != "" {
		if told, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && told > 0 {
			d = min(told, maxPatience)
		}
	}
	return d - min(onTheWay, d/10)
}

func write(w http.ResponseWriter, code int, o any) {
	// Neither type holds anything that does not marshal.
	body, _ := json.Marshal(o)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	// Who no longer listens needs no answer.
	_, _ = w.Write(body)
}
