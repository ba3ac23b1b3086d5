// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// tenPolicies match every pod and demand all that can be demanded.
func tenPolicies(t testing.TB) []*isolation.Policy {
	var out []*isolation.Policy
	for i := range 10 {
		out = append(out, compile(t, policyOf(fmt.Sprintf("policy-%d", i), v1alpha1.Deny, everyPortal)))
	}
	return out
}

// cpuTime reports what the processors did for one review, the collector of garbage included: on a
// machine that has more to do the time that passes says little.
func cpuTime(b *testing.B) (report func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() {
		b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/review")
	}
}

// BenchmarkReview is all that a review costs but the network: HTTP, decoding, judging by ten
// policies, the answer.
func BenchmarkReview(b *testing.B) {
	body := recordedReview(b)
	e := endpointOf(handlerOf(tenPolicies(b)...))
	b.ReportAllocs()
	report := cpuTime(b)
	defer report()
	for b.Loop() {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/validate-pods?timeout=5s", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		e.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte(`"allowed":true`)) {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkServedReview is the same with TLS over the loopback, client and server together.
func BenchmarkServedReview(b *testing.B) {
	body := recordedReview(b)
	certs, _ := emptySecret(b)
	certs.load(b.Context(), secretOf(b, certs))
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &server{certs: certs, log: logr.Discard(), handler: endpointOf(handlerOf(tenPolicies(b)...))}
	go func() { _ = s.serve(b.Context(), listener) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	b.ReportAllocs()
	report := cpuTime(b)
	defer report()
	for b.Loop() {
		resp, err := client.Post("https://"+listener.Addr().String()+"/validate-pods?timeout=5s", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
	}
}
