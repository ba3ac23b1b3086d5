// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// What reviews become in memory when as many as are let in at once are what costs most for their
// size. The manager's limit is 512 MiB, and it has some 60 MiB without them.
func TestReviewsOfNothingButElementsTakeBoundedMemory(t *testing.T) {
	if withRaceDetector {
		t.Skip("the race detector takes memory itself: make test runs this without as well")
	}
	const enough = 450 << 20
	object := func(spec string) string {
		return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","namespace":"shop","operation":"CREATE",` +
			`"kind":{"version":"v1","kind":"Pod"},"resource":{"version":"v1","resource":"pods"},"object":{"spec":` + spec + `}}}`
	}
	many := func(n int, element string) string { return "[" + element + strings.Repeat(","+element, n-1) + "]" }
	nested := func(size int, list string) string {
		one := `{` + list + `:` + many(500, "{}") + `}`
		return object(`{"containers":` + many(max(1, size/len(one)), one) + `}`)
	}
	for name, of := range map[string]func(size int) string{
		"init containers": func(size int) string { return object(`{"initContainers":` + many(size/3, "{}") + `}`) },
		"every list of containers and volumes": func(size int) string {
			list := many(size/12, "{}")
			return object(`{"initContainers":` + list + `,"containers":` + list + `,"ephemeralContainers":` + list + `,"volumes":` + list + `}`)
		},
		"ports":  func(size int) string { return nested(size, `"ports"`) },
		"mounts": func(size int) string { return nested(size, `"volumeMounts"`) },
		"capabilities": func(size int) string {
			return object(`{"containers":[{"securityContext":{"capabilities":{"add":` + many(size/3, `""`) + `}}}]}`)
		},
		"labels": func(size int) string {
			var b strings.Builder
			for i := 0; b.Len() < size-600; i++ {
				fmt.Fprintf(&b, `,"%x":""`, i)
			}
			return strings.Replace(object(`{}`), `"object":{`, `"object":{"metadata":{"labels":{`+b.String()[1:]+`}},`, 1)
		},
		"lists that are not judged": func(size int) string {
			return object(`{"containers":[{}],"volumes":[{"rbd":{"monitors":` + many(size/3, `""`) + `}}]}`)
		},
	} {
		for _, let := range []struct{ reviews, size int }{{maxJudged, smallBody - 512}, {maxLarge, 200_000 * 3}, {maxLarge, maxBody - 512}} {
			t.Run(fmt.Sprintf("%d reviews of %d KiB of %s", let.reviews, let.size>>10, name), func(t *testing.T) {
				body := []byte(of(let.size))
				e := endpointOf(handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny, everyPortal))))
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, "/validate-pods", bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				e.ServeHTTP(w, r)
				runtime.ReadMemStats(&after)
				// All that was allocated, the body included: more than was held at any moment.
				took := int(after.TotalAlloc-before.TotalAlloc) * let.reviews
				t.Logf("%d MiB, answered %d", took>>20, w.Code)
				NewWithT(t).Expect(took).To(BeNumerically("<", enough))
			})
		}
	}
}
